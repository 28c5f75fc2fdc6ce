# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the board tells through Linux: heat, slowing down, memory. Knows nothing of ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import re

# Kinds of trip points from which on the kernel slows the board down, or worse.
THROTTLING = ('passive', 'hot', 'critical')
# Cooling devices that cool by computing less, as no fan does. Jetson's alerts tell what its
# firmware does.
SLOWING = re.compile(r'(thermal-)?(cpufreq|devfreq)|Processor|\w+-throttle-alert')
# Where events are counted, below /sys, and what another one means.
COUNTED = {
    'class/hwmon/hwmon*/oc*_event_cnt': 'the supply current was too high, the board has slowed down',  # Jetson
    'devices/system/cpu/cpu*/thermal_throttle/*_throttle_count':
        'the processor was too hot and has slowed down',  # x86
}


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


class HardwareMonitor:
    """The machine whose /sys and /proc lie below `root`."""

    def __init__(self, root: Path = Path('/')) -> None:
        """Events that were counted before are not told."""
        self._sys, self._proc = root / 'sys', root / 'proc'
        self._counts = {path: self._count(path) for path in COUNTED}

    def hottest(self) -> Zone | None:
        """Return the zone nearest to its limit, or the hottest where none has one; None without sensors."""
        paths = sorted(self._sys.glob('class/thermal/thermal_zone*'))
        zones = [zone for path in paths if (zone := _zone(path)) is not None]
        return max(zones, default=None,
                   key=lambda zone: (zone.limit is not None, zone.temperature - (zone.limit or 0)))

    def warnings(self) -> list[str]:
        """Return why the board computes more slowly than it could, now or since the last call."""
        return [*self._heat(), *self._slowed(), *self._low_voltage(), *self._counted()]

    def available_bytes(self) -> int:
        """Return the memory that processes may still take, before others must give some back."""
        match = re.search(r'^MemAvailable:\s+(\d+) kB', _text(self._proc / 'meminfo'), re.MULTILINE)
        return int(match[1]) * 1024 if match else 0

    def _heat(self) -> Iterator[str]:
        zone = self.hottest()
        if zone is not None and zone.is_throttling:
            yield f'{zone.name} is so hot that the board slows down: {zone.temperature:.0f} °C'

    def _slowed(self) -> Iterator[str]:
        for path in sorted(self._sys.glob('class/thermal/cooling_device*')):
            name = _text(path / 'type')
            if SLOWING.match(name) and (_number(path / 'cur_state') or 0) > 0:
                yield f'{name} is slowed down to stay cool'

    def _low_voltage(self) -> Iterator[str]:
        for path in self._sys.glob('class/hwmon/hwmon*'):  # Raspberry Pi
            if _text(path / 'name') == 'rpi_volt' and _number(path / 'in0_lcrit_alarm'):
                yield 'the supply voltage is too low, the board slows down'

    def _counted(self) -> Iterator[str]:
        for path, meaning in COUNTED.items():
            before, self._counts[path] = self._counts[path], self._count(path)
            if self._counts[path] > before:
                yield meaning

    def _count(self, pattern: str) -> int:
        return sum(_number(path) or 0 for path in self._sys.glob(pattern))


def _zone(path: Path) -> Zone | None:
    temperature = _number(path / 'temp')
    if temperature is None:
        return None
    limits = []
    for kind in path.glob('trip_point_*_type'):
        limit = _number(kind.with_name(kind.name.replace('_type', '_temp')))
        # Unused trip points are at 0 or below.
        if limit is not None and limit > 0 and _text(kind) in THROTTLING:
            limits.append(limit / 1000)
    return Zone(_text(path / 'type') or path.name, temperature / 1000, min(limits, default=None))


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # a sensor that sleeps cannot be read
        return ''
