# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Where a model's weights go, decided from a description of the machine: no device is asked here.

A GPU that shares the DRAM with the CPU is the difficult one: what `read` leaves in the page cache is a second
copy of the model in the same memory, and the kernel gives it back too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tinychat_core.errors import InvalidParameterError

CHUNK = 16 << 20  # bytes that are read, verified and copied at once
RING = 3          # chunks under way: one is read, one verified, one copied


class Device(Enum):
    """What computes."""

    CPU = 'cpu'
    DISCRETE = 'discrete GPU'      # memory of its own
    INTEGRATED = 'integrated GPU'  # shares the DRAM with the CPU


class Way(Enum):
    """How weights reach the memory that kernels read."""

    MAPPED = 'mapped'          # kernels read the page cache in place
    STAGED = 'staged'          # read into a ring of buffers, copied from there
    REGISTERED = 'registered'  # the mapping is made known to the GPU, which reads it in place


@dataclass(frozen=True)
class Machine:
    """
    What the decision needs to know.

    `available`: bytes of DRAM that the system can give without swapping. `device_memory`: free bytes of a
    discrete GPU. `direct`: the file system reads past the page cache (O_DIRECT).
    """

    device: Device
    available: int
    direct: bool = True
    device_memory: int = 0


@dataclass(frozen=True)
class Placement:
    """
    The decision; `reason` is for the log.

    `direct`: files are opened with O_DIRECT. `drop`: the page cache of what was read is given back behind the
    reader. `buffer_bytes`: host memory that the way takes while it loads.
    """

    way: Way
    reason: str
    direct: bool = False
    drop: bool = False
    buffer_bytes: int = 0


def place(machine: Machine, weights_bytes: int, wanted: Way | None = None) -> Placement:
    """
    Return how `weights_bytes` are placed; `wanted` overrides the default of the machine.

    Raises InvalidParameterError where the machine has no such way, or no room for it.
    """
    way = wanted or (Way.MAPPED if machine.device is Device.CPU else Way.STAGED)
    discrete = machine.device is Device.DISCRETE
    if way is Way.MAPPED and machine.device is not Device.CPU:
        raise InvalidParameterError(f'a {machine.device.value} does not read a mapping in place; '
                                    "use 'staged' or 'registered'")
    if way is Way.REGISTERED and machine.device is not Device.INTEGRATED:
        raise InvalidParameterError(f'a {machine.device.value} gains nothing by registered memory; '
                                    f"use '{(Way.STAGED if discrete else Way.MAPPED).value}'")
    ring = CHUNK * RING if way is Way.STAGED else 0
    room = machine.device_memory if discrete else machine.available - ring
    if weights_bytes > room:
        where = 'the GPU has' if discrete else 'the system has'
        raise InvalidParameterError(f'the weights take {weights_bytes / 2**20:,.0f} MiB and {where} '
                                    f'{max(room, 0) / 2**20:,.0f} MiB left; use fewer bits a weight')
    if way is Way.MAPPED:
        return Placement(way, 'the CPU computes from the page cache: nothing is copied')
    if way is Way.REGISTERED:
        return Placement(way, 'the GPU reads the mapping in place: one copy, in the page cache')
    if discrete:
        cached = machine.available - ring >= weights_bytes
        return Placement(way, 'the GPU has memory of its own: reads overlap copies' + (
            '; the page cache keeps the files for the next start' if cached else
            '; the page cache has no room for the files'), direct=machine.direct and not cached,
            drop=not machine.direct and not cached, buffer_bytes=ring)
    shared = 'an own copy is what was asked for' if machine.device is Device.CPU else 'CPU and GPU share one DRAM'
    past = 'reads go past the page cache' if machine.direct else 'the page cache is dropped behind the reader'
    return Placement(way, f'{shared}: {past}, so that no second copy stays', direct=machine.direct,
                     drop=not machine.direct, buffer_bytes=ring)
