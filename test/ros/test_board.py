# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the board tells of itself, read from a directory like Linux's."""

from __future__ import annotations

from pathlib import Path

from tinychat_ros.board import hottest, resident_bytes, Zone


def add_zone(root: Path, number: int, name: str, millidegrees: str, **trips: int) -> None:
    zone = root / f'thermal_zone{number}'
    zone.mkdir()
    (zone / 'type').write_text(f'{name}\n')
    (zone / 'temp').write_text(f'{millidegrees}\n')
    for i, (kind, limit) in enumerate(trips.items()):
        (zone / f'trip_point_{i}_type').write_text(f'{kind}\n')
        (zone / f'trip_point_{i}_temp').write_text(f'{limit}\n')


def test_a_board_without_sensors(tmp_path: Path) -> None:
    assert hottest(tmp_path) is None


def test_the_zone_nearest_to_its_limit_counts(tmp_path: Path) -> None:
    add_zone(tmp_path, 0, 'cpu-thermal', '60000', active=40000, passive=99000, critical=105000)
    add_zone(tmp_path, 1, 'gpu-thermal', '55000', passive=70000)
    add_zone(tmp_path, 2, 'iwlwifi', '80000')
    assert hottest(tmp_path) == Zone('gpu-thermal', 55.0, 70.0)


def test_throttling_begins_at_the_first_passive_trip_point(tmp_path: Path) -> None:
    add_zone(tmp_path, 0, 'tj-thermal', '99000', passive=99000, critical=105000)
    zone = hottest(tmp_path)
    assert zone is not None
    assert zone.is_throttling


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    add_zone(tmp_path, 0, 'asleep', '')
    add_zone(tmp_path, 1, 'unused', '40000', passive=-274000)
    assert hottest(tmp_path) == Zone('unused', 40.0, None)


def test_this_process_has_memory() -> None:
    assert 10e6 < resident_bytes() < 10e9
