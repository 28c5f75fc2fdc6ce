# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the board tells through Linux: temperature, and this process's memory. Knows nothing of ROS."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path

THERMAL = Path('/sys/class/thermal')
# Kinds of trip points from which on the kernel slows the board down, or worse.
THROTTLING = ('passive', 'hot', 'critical')


@dataclass(frozen=True)
class Zone:
    """A sensor; `limit` is where it begins to slow the board down, None where it never does [°C]."""

    name: str
    temperature: float
    limit: float | None

    @property
    def is_throttling(self) -> bool:
        """Whether the temperature has reached the limit."""
        return self.limit is not None and self.temperature >= self.limit


def hottest(thermal: Path = THERMAL) -> Zone | None:
    """Return the zone nearest to its limit, or the hottest where none has one; None without sensors."""
    zones = [zone for path in sorted(thermal.glob('thermal_zone*')) if (zone := _zone(path)) is not None]
    return max(zones, default=None,
               key=lambda zone: (zone.limit is not None, zone.temperature - (zone.limit or 0)))


def resident_bytes() -> int:
    """Return the memory of this process that is not on disk only, mapped weights included."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE')


def _zone(path: Path) -> Zone | None:
    temperature = _celsius(path / 'temp')
    if temperature is None:
        return None
    limits = []
    for kind in path.glob('trip_point_*_type'):
        limit = _celsius(kind.with_name(kind.name.replace('_type', '_temp')))
        # Unused trip points are at 0 or below.
        if limit is not None and limit > 0 and _text(kind) in THROTTLING:
            limits.append(limit)
    return Zone(_text(path / 'type') or path.name, temperature, min(limits, default=None))


def _celsius(path: Path) -> float | None:
    try:
        return int(_text(path)) / 1000
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # a sensor that sleeps cannot be read
        return ''
