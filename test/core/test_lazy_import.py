# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What `import tinychat_core` gives, and what it costs."""
from __future__ import annotations

import subprocess
import sys

import pytest

import tinychat_core


def run(code: str) -> str:
    """Return what a fresh interpreter prints."""
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize('name', tinychat_core.__all__)
def test_every_name_is_the_one_of_its_module(name: str) -> None:
    module = sys.modules[getattr(tinychat_core, name).__module__]
    assert getattr(module, name) is getattr(tinychat_core, name)
    assert name in dir(tinychat_core)


def test_the_engine_is_imported_as_people_do() -> None:
    assert run('from tinychat_core import Engine, Token; print(Engine.__name__, Token.__name__)') == 'Engine Token\n'


def test_the_package_itself_loads_nothing() -> None:
    loaded = run('import sys; before = set(sys.modules); import tinychat_core; print(*(set(sys.modules) - before))')
    assert not {name for name in loaded.split() if name.partition('.')[0] in ('numpy', 'tokenizers', 'jinja2')}
    assert {name for name in loaded.split() if name.startswith('tinychat_core')} == {'tinychat_core'}


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(ImportError, match='Motor'):
        from tinychat_core import Motor  # type: ignore[attr-defined]  # noqa: F401
