# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Where a model's weights go, decided from a description of the machine: no device is asked here.

A GPU that shares the DRAM with the CPU is the difficult one: what `read` leaves in the page cache is a second
copy of the model in the same memory, and the kernel gives it back too late.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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

    MAPPED = 'mapped'  # read from the page cache: by the CPU's kernels in place, by the copy to a GPU
    STAGED = 'staged'  # read into a ring of buffers, copied from there


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

    @property
    def room(self) -> int:
        """Bytes that a model may take where its kernels read it."""
        return self.device_memory if self.device is Device.DISCRETE else self.available

    def with_room(self, room: int) -> Machine:
        """Return the machine with so many bytes of room instead."""
        return (replace(self, device_memory=room) if self.device is Device.DISCRETE else
                replace(self, available=room))


@dataclass(frozen=True)
class Placement:
    """
    The decision; `reason` is for the log.

    `device`: whose memory it is. `direct`: files are opened with O_DIRECT. `drop`: the page cache of what was read is
    given back behind the reader, what others had left there as well. `buffer_bytes`: host memory that the way takes
    while it loads.
    """

    way: Way
    reason: str
    device: Device = Device.CPU
    direct: bool = False
    drop: bool = False
    buffer_bytes: int = 0


def place(machine: Machine, weights_bytes: int, wanted: Way | None = None) -> Placement:
    """
    Return how `weights_bytes` are placed; `wanted` overrides the default of the machine.

    Raises InvalidParameterError where there is no room for it.
    """
    device, available = machine.device, machine.available
    way = wanted or (Way.MAPPED if device is Device.CPU else Way.STAGED)
    ring = CHUNK * RING if way is Way.STAGED else 0
    discrete = device is Device.DISCRETE
    room = machine.room - (0 if discrete else ring)
    if weights_bytes > room:
        raise InvalidParameterError(f'the weights take {weights_bytes / 2**20:,.0f} MiB and '
                                    f'{"the GPU" if discrete else "the system"} has '
                                    f'{max(room, 0) / 2**20:,.0f} MiB left; use fewer bits a weight')
    if way is Way.MAPPED:
        return Placement(way, 'the CPU computes from the page cache: nothing is copied' if device is Device.CPU else
                         'they are put in another order on the way to the GPU', device)
    past = 'reads go past the page cache' if machine.direct else 'the page cache is dropped behind the reader'
    if not discrete:
        why = 'an own copy is what was asked for' if device is Device.CPU else 'CPU and GPU share one DRAM'
        return Placement(way, f'{why}: {past}, so that no second copy stays', device, machine.direct, True, ring)
    why = 'the GPU has memory of its own: reads overlap copies'
    if available - ring >= weights_bytes:
        return Placement(way, f'{why}; the page cache keeps the files for the next start', device, buffer_bytes=ring)
    return Placement(way, f'{why}; the page cache has no room for the files: {past}', device, machine.direct,
                     not machine.direct, ring)
