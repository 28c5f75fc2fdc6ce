# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
How weights are loaded, decided from a description of the machine, without asking a device.

A GPU that shares its DRAM with the CPU is the hard case: what `read` leaves in the page cache is a second copy of the
model in the same memory, and the kernel frees it too late.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from tinychat_core.errors import InvalidParameterError

CHUNK = 16 << 20  # bytes that are read, verified and copied at a time
RING = 3          # buffers of a chunk: one is read, one verified, one copied


class Device(Enum):
    """The kind of processor that runs the model."""

    CPU = 'cpu'
    DISCRETE = 'discrete GPU'      # has its own memory
    INTEGRATED = 'integrated GPU'  # shares the DRAM with the CPU


class LoadMode(Enum):
    """How weights reach the memory that the kernels read."""

    MAPPED = 'mapped'  # the CPU's kernels, or the copy to a GPU, read the page cache
    STAGED = 'staged'  # files are read into a ring of buffers and copied from there


@dataclass(frozen=True)
class Machine:
    """
    What the decision depends on.

    `available`: bytes of DRAM that the system can provide without swapping. `device_memory`: free bytes of a discrete
    GPU. `direct`: the file system supports O_DIRECT.
    """

    device: Device
    available: int
    direct: bool = True
    device_memory: int = 0

    @property
    def room(self) -> int:
        """Bytes that a model may use in the memory that its kernels read."""
        return self.device_memory if self.device is Device.DISCRETE else self.available

    def with_room(self, room: int) -> Machine:
        """Return the machine with another `room`."""
        return (replace(self, device_memory=room) if self.device is Device.DISCRETE else
                replace(self, available=room))


@dataclass(frozen=True)
class LoadPlan:
    """
    The decision; `reason` is for the log.

    `device`: whose memory the weights go to. `direct`: open files with O_DIRECT. `drop_cache`: drop the page cache of
    each file after reading it, including pages that others had cached. `buffer_bytes`: host memory used while loading.
    """

    mode: LoadMode
    reason: str
    device: Device = Device.CPU
    direct: bool = False
    drop_cache: bool = False
    buffer_bytes: int = 0


MAP_IN_PLACE = LoadPlan(LoadMode.MAPPED, 'read in place')


def choose_load_mode(machine: Machine, weights_bytes: int, wanted: LoadMode | None = None) -> LoadPlan:
    """
    Return how to load `weights_bytes` of weights; `wanted` overrides the machine's default.

    Raises InvalidParameterError if they do not fit.
    """
    device, available = machine.device, machine.available
    mode = wanted or (LoadMode.MAPPED if device is Device.CPU else LoadMode.STAGED)
    ring = CHUNK * RING if mode is LoadMode.STAGED else 0
    discrete = device is Device.DISCRETE
    room = machine.room - (0 if discrete else ring)
    if weights_bytes > room:
        raise InvalidParameterError(f'the weights take {weights_bytes / 2**20:,.0f} MiB, but '
                                    f'{"the GPU" if discrete else "the system"} has only '
                                    f'{max(room, 0) / 2**20:,.0f} MiB left; use fewer bits per weight')
    if mode is LoadMode.MAPPED:
        return LoadPlan(mode, 'the CPU computes from the page cache: nothing is copied' if device is Device.CPU else
                        'they are converted to another layout on the way to the GPU', device)
    uncached = 'reads bypass the page cache' if machine.direct else 'the page cache is dropped after each read'
    if not discrete:
        why = 'a copy was requested' if device is Device.CPU else 'CPU and GPU share one DRAM'
        return LoadPlan(mode, f'{why}: {uncached}, so that no second copy stays', device, machine.direct, True, ring)
    why = 'the GPU has its own memory: reads overlap copies'
    if available - ring >= weights_bytes:
        return LoadPlan(mode, f'{why}; the page cache keeps the files for the next start', device, buffer_bytes=ring)
    return LoadPlan(mode, f'{why}; the files do not fit into the page cache: {uncached}', device, machine.direct,
                    not machine.direct, ring)
