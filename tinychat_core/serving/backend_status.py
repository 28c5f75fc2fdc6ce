# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What is known about a backend on another machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackendStatus:
    """
    A remote backend, for diagnostics.

    `state`: 'up', 'slow', 'busy' (it has asked to wait) or 'failing' (it gets no requests). Times are in seconds;
    `time_to_first_token` is that of its last answer.
    """

    name: str
    url: str
    state: str
    last_error: str
    running: int
    answers: int
    failures: int
    time_to_first_token: float
