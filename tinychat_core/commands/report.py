# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a bug report should say of an installation and its machine: no prompt, no path, no name of a user or host."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform

from tinychat_core import __version__
from tinychat_core.errors import printable

# By the name of the distribution; ROS 2's differs between apt and the wheels.
PACKAGES = ('numpy', 'safetensors', 'tokenizers', 'jinja2', 'msgspec', 'xxhash', 'llguidance', 'fastapi', 'uvicorn',
            'torch', 'transformers')
RCLPY = ('rclpy', 'ros-rclpy')
LONGEST_VALUE = 100  # characters


def installation(root: Path = Path('/')) -> dict[str, str]:
    """
    Return the facts by name; `root` is the file system with /proc.

    Raises nothing: what cannot be found is 'unknown', 'not installed' or 'none'.
    """
    system = platform.uname()
    facts = {
        'tinychat': __version__,
        'python': platform.python_version(),
        'system': f'{_os_name(root)}, Linux {system.release}, {system.machine}',
        'board': _first_line(root / 'proc/device-tree/model') or 'none',
        'ros': f"{os.environ.get('ROS_DISTRO', 'not sourced')}, rclpy {_version(*RCLPY)}, "
               f"{os.environ.get('RMW_IMPLEMENTATION', 'default middleware')}",
        'packages': ', '.join(f'{name} {_version(name)}' for name in PACKAGES),
        **_processor(root),
        'cuda': _cuda(),
    }
    return {name: printable(value)[:1000 if name == 'packages' else LONGEST_VALUE] for name, value in facts.items()}


def _version(*names: str) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return 'not installed'


def _processor(root: Path) -> dict[str, str]:
    from tinychat_core import _tinychat
    from tinychat_core.cores import usable_cores
    from tinychat_core.loading.system_memory import available_memory

    cores = usable_cores()
    return {'cpu': _field(root / 'proc/cpuinfo', 'model name', 'CPU part') or 'unknown',
            'cores': f'{cores.physical} cores, {cores.logical} threads may be used',
            'instruction sets': ', '.join(_tinychat.isas()),
            'memory': f'{available_memory() / 2**30:.1f} GiB available'}


def _cuda() -> str:
    """Return the device. The reason why there is none may contain paths, so it is left out."""
    from tinychat_core import _tinychat
    from tinychat_core.cuda import library

    path = library()
    if not path.is_file():
        return 'not built'
    try:
        device = _tinychat.cuda_device(str(path))
    except _tinychat.DeviceError:
        return 'built, but there is no device that it can use (tinychat chat --backend cuda says why)'
    major, minor = device['compute_capability']
    return f"{device['name']}, compute capability {major}.{minor}, {device['memory'] / 2**30:.1f} GiB"


def _os_name(root: Path) -> str:
    name = _field(root / 'etc/os-release', 'PRETTY_NAME', separator='=')
    return name.strip('"') or 'unknown system'


def _first_line(path: Path) -> str:
    try:
        return path.read_text(errors='replace').partition('\n')[0].strip('\0 ')
    except OSError:
        return ''


def _field(path: Path, *names: str, separator: str = ':') -> str:
    """Return the value of the first line that begins with one of the names, or ''."""
    try:
        lines = path.read_text(errors='replace').splitlines()
    except OSError:
        return ''
    for name in names:
        for line in lines:
            key, _, value = line.partition(separator)
            if key.strip() == name:
                return value.strip()
    return ''
