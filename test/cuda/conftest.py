# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tests marked `gpu` run where the CUDA library and a device are there."""
from __future__ import annotations

import pytest

from tinychat_core.cuda import usable_library
from tinychat_core.errors import InvalidParameterError


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what needs a device."""
    needy = [item for item in items if item.get_closest_marker('gpu')]
    if not needy:
        return
    try:
        usable_library('cuda', 'W4', None)
    except InvalidParameterError:
        config.hook.pytest_deselected(items=needy)
        items[:] = [item for item in items if item not in needy]
