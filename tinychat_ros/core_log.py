# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the runtime logs, such as the memory plan, in the node's log."""

from __future__ import annotations

import logging
from typing import Any

from tinychat_core.errors import one_line

RUNTIME = logging.getLogger('tinychat_core')


class CoreLog(logging.Handler):
    """Hands the runtime's records to a ROS logger until it is closed."""

    def __init__(self, logger: Any) -> None:
        """Begin; `logger` is a node's."""
        super().__init__(logging.INFO)
        self._logger = logger
        RUNTIME.setLevel(logging.INFO)
        RUNTIME.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        message = one_line(record.getMessage())
        # A line of its own for each severity: rclpy lets a line have one only.
        if record.levelno >= logging.ERROR:
            self._logger.error(message)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(message)
        else:
            self._logger.info(message)

    def close(self) -> None:
        """End."""
        RUNTIME.removeHandler(self)
        super().close()
