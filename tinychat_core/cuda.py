# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Which backend decodes: the CUDA library where it can be used, and why it cannot where it was asked for."""
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
    """Return where the CUDA library lies: beside the extension, or where TINYCHAT_CUDA_LIBRARY says."""
    named = os.environ.get('TINYCHAT_CUDA_LIBRARY')
    return Path(named) if named else Path(_tinychat.__file__).with_name('libtinychat_cuda.so')


def usable_library(backend: str, weights: str, precision: str | None) -> Path | None:
    """
    Return the library that decodes for `backend`, None where that is the CPU.

    'auto' is CUDA where the library and a device are there and have the precision. Raises InvalidParameterError for
    an unknown backend, and for 'cuda' where it cannot be used, saying why.
    """
    if backend not in BACKENDS:
        raise InvalidParameterError(f"there is no backend '{backend}'; use {', '.join(BACKENDS)}")
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
        raise InvalidParameterError(f"the backend cuda has no precision '{precision}' for {weights} weights; "
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
    """Return what the library's device is and what it has left for a model; of shared DRAM what the system has."""
    device = _tinychat.cuda_device(str(path))
    return Machine(Device.INTEGRATED if device['integrated'] else Device.DISCRETE, available_memory(),
                   device_memory=int(device['free_memory']))
