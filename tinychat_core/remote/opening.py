# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Imports the service with remote backends, and checks that its packages are installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from tinychat_core.errors import TinyChatError

if TYPE_CHECKING:
    from tinychat_core.remote.fleet_service import FleetService

# The first httpx that sets options of a socket, and the first jsonschema that fetches no schema from elsewhere.
_NEEDED = {'httpx': (0, 25), 'jsonschema': (4, 18)}


def fleet_service_class() -> type[FleetService]:
    """Return FleetService; TinyChatError if a package is missing or too old."""
    for name, needed in _NEEDED.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = ''
        numbers = tuple(int(part) for part in found.split('.')[:2] if part.isdecimal())
        if numbers < needed:
            what = f'a newer {name} than {found}' if found else f'{name}, which is not installed'
            raise TinyChatError(f"backends on other machines need {what}: pip install 'tinychat_ros[fleet]'")
    from tinychat_core.remote.fleet_service import FleetService

    return FleetService
