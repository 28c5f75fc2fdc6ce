# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Chooses the backend: the CUDA library where it can be used, and the reason where it was requested but cannot."""
from __future__ import annotations

import logging
import os
from pathlib import Path

from tinychat_core import _tinychat
from tinychat_core._tinychat import DeviceError
from tinychat_core.errors import InvalidParameterError
from tinychat_core.loading.load_mode import Device, Machine
from tinychat_core.loading.system_memory import available_memory
from tinychat_core.precision import PRECISIONS

BACKENDS = ('auto', 'cpu', 'cuda')

_LOG = logging.getLogger(__name__)


def library() -> Path:
    """Return the path of the CUDA library: next to the extension, or the value of TINYCHAT_CUDA_LIBRARY."""
    named = os.environ.get('TINYCHAT_CUDA_LIBRARY')
    return Path(named) if named else Path(_tinychat.__file__).with_name('libtinychat_cuda.so')


def usable_library(backend: str, weights: str, precision: str | None) -> Path | None:
    """
    Return the path of the CUDA library for `backend`, or None for the CPU.

    'auto' is CUDA where there are a library and a device that support the precision. Raises InvalidParameterError for
    an unknown backend, and for 'cuda', with the reason, where it cannot be used.
    """
    if backend not in BACKENDS:
        raise InvalidParameterError(f"backend = '{backend}' is unknown; use {', '.join(BACKENDS)}")
    path = library()
    if backend == 'cpu' or (backend == 'auto' and not path.is_file()):
        return None
    if not path.is_file():
        raise InvalidParameterError('the backend cuda is not built; with nvcc (CUDA 11.8 or newer) on this machine: '
                                    'TINYCHAT_CUDA_ARCHS=native make setup')
    choices = PRECISIONS['cuda'][weights]
    if precision is not None and precision not in choices:
        if backend == 'auto':
            return None
        raise InvalidParameterError(f"the backend cuda does not support precision '{precision}' for {weights} weights; "
                                    f'use {" or ".join(choices)}')
    try:
        device = _tinychat.cuda_device(str(path))
    except DeviceError as error:
        if backend == 'auto':
            _LOG.warning('the backend is cpu: %s', error)
            return None
        raise InvalidParameterError(f'the backend cuda cannot be used: {error}') from None
    _LOG.info('the backend is cuda: %s', device['name'])
    return path


def machine(path: Path) -> Machine:
    """Return the kind of the library's device and its free memory; for shared DRAM the system's."""
    device = _tinychat.cuda_device(str(path))
    return Machine(Device.INTEGRATED if device['integrated'] else Device.DISCRETE, available_memory(),
                   device_memory=int(device['free_memory']))
