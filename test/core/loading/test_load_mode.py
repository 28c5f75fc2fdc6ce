# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""How weights are loaded on described machines; no device is needed."""
from __future__ import annotations

import pytest

from tinychat_core.errors import InvalidParameterError
from tinychat_core.loading.load_mode import choose_load_mode, CHUNK, Device, LoadMode, Machine, RING

GIB = 1 << 30
WEIGHTS = 4 * GIB


def test_a_cpu_computes_from_the_mapping() -> None:
    plan = choose_load_mode(Machine(Device.CPU, 8 * GIB), WEIGHTS)
    assert (plan.mode, plan.buffer_bytes, plan.drop_cache) == (LoadMode.MAPPED, 0, False)
    assert 'nothing is copied' in plan.reason


def test_a_cpu_may_have_its_own_copy() -> None:
    plan = choose_load_mode(Machine(Device.CPU, 8 * GIB), WEIGHTS, LoadMode.STAGED)
    assert plan.mode is LoadMode.STAGED and plan.direct and plan.buffer_bytes == CHUNK * RING


def test_shared_memory_never_holds_a_second_copy_in_the_page_cache() -> None:
    plan = choose_load_mode(Machine(Device.INTEGRATED, 8 * GIB, direct=True), WEIGHTS)
    assert plan.mode is LoadMode.STAGED and plan.direct and plan.drop_cache
    assert 'share one DRAM' in plan.reason and 'bypass the page cache' in plan.reason


def test_a_file_system_without_direct_reads_drops_behind_the_reader() -> None:
    plan = choose_load_mode(Machine(Device.INTEGRATED, 8 * GIB, direct=False), WEIGHTS)
    assert plan.drop_cache and not plan.direct
    assert 'dropped after each read' in plan.reason


def test_weights_in_another_order_go_through_the_mapping() -> None:
    plan = choose_load_mode(Machine(Device.DISCRETE, 8 * GIB, device_memory=8 * GIB), WEIGHTS, LoadMode.MAPPED)
    assert (plan.mode, plan.buffer_bytes) == (LoadMode.MAPPED, 0)
    assert 'another layout' in plan.reason


def test_a_discrete_gpu_leaves_the_files_cached_where_there_is_room() -> None:
    plan = choose_load_mode(Machine(Device.DISCRETE, 16 * GIB, device_memory=8 * GIB), WEIGHTS)
    assert plan.mode is LoadMode.STAGED and not plan.direct and not plan.drop_cache
    assert 'for the next start' in plan.reason


@pytest.mark.parametrize('direct', [True, False])
def test_a_discrete_gpu_beside_little_memory(direct: bool) -> None:
    plan = choose_load_mode(Machine(Device.DISCRETE, 2 * GIB, direct, device_memory=8 * GIB), WEIGHTS)
    assert (plan.direct, plan.drop_cache) == (direct, not direct)


@pytest.mark.parametrize(('machine', 'reason'), [
    (Machine(Device.INTEGRATED, 4 * GIB), 'the system has only 4,048 MiB left'),  # the ring needs its part
    (Machine(Device.CPU, 3 * GIB), 'the system has only 3,072 MiB left'),
    (Machine(Device.DISCRETE, 64 * GIB, device_memory=3 * GIB), 'the GPU has only 3,072 MiB left'),
])
def test_no_room(machine: Machine, reason: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        choose_load_mode(machine, WEIGHTS)
    assert reason in str(caught.value)
