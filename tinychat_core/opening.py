# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Decides how a checkpoint is opened, before it is read: the backend, the memory plan and the load mode."""

from __future__ import annotations

from dataclasses import dataclass, replace
import logging
from pathlib import Path

from tinychat_core import cuda
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.errors import DoesNotFitError
from tinychat_core.loading.load_mode import choose_load_mode, Device, LoadMode, LoadPlan, Machine
from tinychat_core.loading.memory_plan import fitting_parallel, fitting_plan, MemoryPlan, Request
from tinychat_core.loading.staging import reads_directly
from tinychat_core.loading.system_memory import available_memory, free_swap
from tinychat_core.loading.widening import is_widened, widened_manifest

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opening:
    """
    How a checkpoint is opened.

    `manifest`: of the checkpoint, with the formats that the backend reads. `library`: the CUDA library; None: the CPU.
    `parallel`: sequences for which the memory was planned. `room_left`: bytes that may be used beyond `needs`.
    `widens`: the backend has no kernels for some of the weights, so they are widened. `copies_files`: files are copied
    to the device unchanged.
    """

    manifest: Manifest
    library: Path | None
    needs: MemoryPlan
    parallel: int
    room_left: int
    load_plan: LoadPlan
    widens: bool
    copies_files: bool

    @property
    def backend(self) -> str:
        """The name of the backend: cpu or cuda."""
        return 'cpu' if self.library is None else 'cuda'


def plan_opening(path: Path, precision: str | None, backend: str, max_seq_len: int, *, kv_cache: str, caches: int,
                 parallel: int, memory: int | None, staged: bool) -> Opening:
    """
    Decide how a checkpoint is opened.

    The arguments are those of `Engine.open`. A context of 0 means the longest one that fits.

    Raises DoesNotFitError, CheckpointError and InvalidParameterError.
    """
    manifest = Manifest.read(path)
    library = cuda.usable_library(backend, manifest.weights, precision)
    backend = 'cpu' if library is None else 'cuda'
    widens = library is not None and is_widened(manifest)
    if widens:
        _LOG.warning('%s: CUDA has no kernels for some of its weights; they are widened, and most are rounded to 8 '
                     'bits in groups of 32', path)
        manifest = widened_manifest(manifest)
    machine = Machine(Device.CPU, available_memory()) if library is None else cuda.machine(library)
    free = machine.room
    if memory is not None:
        machine = machine.with_room(memory)
    try:
        request = Request(precision, kv_cache, caches, backend)
        parallel = parallel or fitting_parallel(manifest, machine.room, max_seq_len, request)
        needs = fitting_plan(manifest, machine.room, max_seq_len, replace(request, caches=max(caches, parallel)))
    except DoesNotFitError as error:
        raise DoesNotFitError(f'{error}; {_memory_hint(backend)}' if memory is None else str(error)) from None
    _LOG.info('%s: %s of %.0f MiB', path, needs, machine.room / 2**20)
    if needs.total_bytes > free:
        _LOG.warning('%.0f MiB are planned, as `memory` allows, but only %.0f MiB are free: unless other processes '
                     'release memory, the system will swap, slow down or kill processes', needs.total_bytes / 2**20,
                     free / 2**20)
    if not max_seq_len and needs.max_seq_len < manifest.model.context_length:
        _LOG.warning("the context is %d positions instead of the model's %d: more do not fit into memory",
                     needs.max_seq_len, manifest.model.context_length)
    machine = replace(machine, direct=bool(manifest.shards) and reads_directly(path / manifest.shards[0].file))
    is_reordered = library is not None and (widens or not manifest.is_packed)
    load_plan = choose_load_mode(machine, manifest.weights_bytes,
                                 LoadMode.MAPPED if is_reordered else LoadMode.STAGED if staged else None)
    _LOG.info('weights are %s: %s', load_plan.mode.value, load_plan.reason)
    return Opening(manifest, library, needs, parallel, machine.room - needs.total_bytes, load_plan, widens,
                   copies_files=library is not None and not is_reordered)


def _memory_hint(backend: str) -> str:
    """Return the end of a sentence that says how to allow more memory than is free."""
    swap = free_swap() if backend == 'cpu' else 0
    counted = f' ({swap / 2**20:,.0f} MiB of swap are free and not counted)' if swap else ''
    return f'if more than the free memory may be used{counted}, set the limit with `memory`'
