# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Where weights go, for described machines: no device is needed."""
from __future__ import annotations

import pytest

from tinychat_core.errors import InvalidParameterError
from tinychat_core.loading.load_mode import CHUNK, Device, Machine, place, RING, Way

GIB = 1 << 30
WEIGHTS = 4 * GIB


def test_a_cpu_computes_from_the_mapping() -> None:
    placement = place(Machine(Device.CPU, 8 * GIB), WEIGHTS)
    assert (placement.way, placement.buffer_bytes, placement.drop) == (Way.MAPPED, 0, False)
    assert 'nothing is copied' in placement.reason


def test_a_cpu_may_have_its_own_copy() -> None:
    placement = place(Machine(Device.CPU, 8 * GIB), WEIGHTS, Way.STAGED)
    assert placement.way is Way.STAGED and placement.direct and placement.buffer_bytes == CHUNK * RING


def test_shared_memory_never_holds_a_second_copy_in_the_page_cache() -> None:
    placement = place(Machine(Device.INTEGRATED, 8 * GIB, direct=True), WEIGHTS)
    assert placement.way is Way.STAGED and placement.direct and placement.drop
    assert 'share one DRAM' in placement.reason and 'past the page cache' in placement.reason


def test_a_file_system_without_direct_reads_drops_behind_the_reader() -> None:
    placement = place(Machine(Device.INTEGRATED, 8 * GIB, direct=False), WEIGHTS)
    assert placement.drop and not placement.direct
    assert 'dropped behind the reader' in placement.reason


def test_weights_in_another_order_go_through_the_mapping() -> None:
    placement = place(Machine(Device.DISCRETE, 8 * GIB, device_memory=8 * GIB), WEIGHTS, Way.MAPPED)
    assert (placement.way, placement.buffer_bytes) == (Way.MAPPED, 0)
    assert 'in another order' in placement.reason


def test_a_discrete_gpu_leaves_the_files_cached_where_there_is_room() -> None:
    placement = place(Machine(Device.DISCRETE, 16 * GIB, device_memory=8 * GIB), WEIGHTS)
    assert placement.way is Way.STAGED and not placement.direct and not placement.drop
    assert 'for the next start' in placement.reason


@pytest.mark.parametrize('direct', [True, False])
def test_a_discrete_gpu_beside_little_memory(direct: bool) -> None:
    placement = place(Machine(Device.DISCRETE, 2 * GIB, direct, device_memory=8 * GIB), WEIGHTS)
    assert (placement.direct, placement.drop) == (direct, not direct)


@pytest.mark.parametrize(('machine', 'reason'), [
    (Machine(Device.INTEGRATED, 4 * GIB), 'the system has 4,048 MiB left'),  # the ring needs its part
    (Machine(Device.CPU, 3 * GIB), 'the system has 3,072 MiB left'),
    (Machine(Device.DISCRETE, 64 * GIB, device_memory=3 * GIB), 'the GPU has 3,072 MiB left'),
])
def test_no_room(machine: Machine, reason: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        place(machine, WEIGHTS)
    assert reason in str(caught.value)
