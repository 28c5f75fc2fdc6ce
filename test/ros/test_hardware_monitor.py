# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What boards tell of themselves, each described by the files that its Linux has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinychat_ros.hardware_monitor import HardwareMonitor, Zone


def describe(root: Path, files: dict[str, str]) -> HardwareMonitor:
    """Write files below a directory and return the board that has them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{text}\n')
    return HardwareMonitor(root)


def zone(number: int, name: str, millidegrees: str, **trips: int) -> dict[str, str]:
    """Return the files of a thermal zone."""
    folder = f'sys/class/thermal/thermal_zone{number}'
    files = {f'{folder}/type': name, f'{folder}/temp': millidegrees}
    for i, (kind, limit) in enumerate(trips.items()):
        files |= {f'{folder}/trip_point_{i}_type': kind, f'{folder}/trip_point_{i}_temp': str(limit)}
    return files


def cooling(number: int, name: str, state: int) -> dict[str, str]:
    """Return the files of a cooling device."""
    folder = f'sys/class/thermal/cooling_device{number}'
    return {f'{folder}/type': name, f'{folder}/cur_state': str(state)}


JETSON_ORIN = {
    **zone(0, 'cpu-thermal', '51000', active=45000, passive=99000, critical=104500),
    **zone(1, 'gpu-thermal', '', passive=99000, critical=104500),  # asleep
    **zone(2, 'tj-thermal', '52500', passive=99000, critical=104500),
    **cooling(0, 'pwm-fan', 2), **cooling(1, 'cpufreq-cpu0', 0), **cooling(2, 'devfreq-17000000.gpu', 0),
    **cooling(3, 'cpu-throttle-alert', 0),
    'sys/class/hwmon/hwmon3/name': 'soctherm_oc', 'sys/class/hwmon/hwmon3/oc1_event_cnt': '0',
    'sys/class/hwmon/hwmon3/oc3_event_cnt': '4',
    'proc/meminfo': 'MemTotal:        7802000 kB\nMemFree:         1000000 kB\nMemAvailable:    2000000 kB',
}
RASPBERRY_PI = {
    **zone(0, 'cpu-thermal', '60000', critical=110000, active=50000),
    **cooling(0, 'pwm-fan', 1), **cooling(1, 'cpufreq-cpu0', 0),
    'sys/class/hwmon/hwmon1/name': 'rpi_volt', 'sys/class/hwmon/hwmon1/in0_lcrit_alarm': '0',
}
LAPTOP = {
    **zone(0, 'acpitz', '27800'), **zone(1, 'x86_pkg_temp', '48000', passive=-274000),
    **cooling(0, 'Processor', 0), **cooling(1, 'TCC Offset', 3),
    'sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count': '17',
}
HOT = 'is so hot that the board slows down'


@pytest.mark.parametrize(('board', 'hottest'), [
    (JETSON_ORIN, Zone('tj-thermal', 52.5, 99.0)),
    (RASPBERRY_PI, Zone('cpu-thermal', 60.0, 110.0)),
    (LAPTOP, Zone('x86_pkg_temp', 48.0, None)),
    ({}, None),
], ids=['Jetson Orin', 'Raspberry Pi', 'laptop', 'container'])
def test_a_board_in_good_health(tmp_path: Path, board: dict[str, str], hottest: Zone | None) -> None:
    here = describe(tmp_path, board)
    assert here.hottest() == hottest
    assert here.warnings() == []


@pytest.mark.parametrize(('board', 'change', 'warning'), [
    (JETSON_ORIN, {'sys/class/thermal/thermal_zone2/temp': '99000'}, f'tj-thermal {HOT}: 99 °C'),
    (JETSON_ORIN, {'sys/class/thermal/cooling_device2/cur_state': '3'},
     'devfreq-17000000.gpu is slowed down to stay cool'),
    (JETSON_ORIN, {'sys/class/thermal/cooling_device3/cur_state': '1'},
     'cpu-throttle-alert is slowed down to stay cool'),
    (JETSON_ORIN, {'sys/class/hwmon/hwmon3/oc3_event_cnt': '5'},
     'the supply current was too high, the board has slowed down'),
    (RASPBERRY_PI, {'sys/class/hwmon/hwmon1/in0_lcrit_alarm': '1'},
     'the supply voltage is too low, the board slows down'),
    (LAPTOP, {'sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count': '18'},
     'the processor was too hot and has slowed down'),
])
def test_a_board_that_slows_down_says_why(tmp_path: Path, board: dict[str, str], change: dict[str, str],
                                          warning: str) -> None:
    here = describe(tmp_path, board)
    describe(tmp_path, change)
    assert here.warnings() == [warning]


def test_what_was_counted_is_told_once(tmp_path: Path) -> None:
    here = describe(tmp_path, JETSON_ORIN)
    describe(tmp_path, {'sys/class/hwmon/hwmon3/oc1_event_cnt': '2'})
    assert len(here.warnings()) == 1
    assert here.warnings() == []


def test_the_zone_nearest_to_its_limit_counts(tmp_path: Path) -> None:
    here = describe(tmp_path, {**zone(0, 'cpu-thermal', '60000', passive=99000),
                               **zone(1, 'gpu-thermal', '55000', passive=70000),
                               **zone(2, 'iwlwifi', '80000')})
    assert here.hottest() == Zone('gpu-thermal', 55.0, 70.0)


def test_memory(tmp_path: Path) -> None:
    assert describe(tmp_path / 'orin', JETSON_ORIN).available_bytes() == 2_048_000_000
    assert describe(tmp_path / 'container', {}).available_bytes() == 0
