# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat info --report`: what a bug report needs, and nothing that its author would not want to publish."""
from __future__ import annotations

from getpass import getuser
from importlib.metadata import version
from pathlib import Path
import platform
import socket

import pytest
import small_checkpoint as small

from tinychat_core import __version__, _tinychat
from tinychat_core.cli import main
from tinychat_core.commands.report import installation

NAMES = ['tinychat', 'python', 'system', 'board', 'ros', 'packages', 'cpu', 'cores', 'instruction sets', 'memory',
         'cuda']


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small.write(tmp_path / 'home' / 'alice' / 'secret-robot')


def test_versions_and_the_machine_without_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['info', '--report']) == 0
    facts = dict(line.split(': ', 1) for line in capsys.readouterr().out.splitlines())
    assert [*facts] == NAMES
    assert facts['tinychat'] == __version__ and facts['python'] == platform.python_version()
    assert f"numpy {version('numpy')}, " in facts['packages']
    assert facts['instruction sets'] == ', '.join(_tinychat.isas())


def test_the_model_and_its_plan_without_its_path(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    assert main(['info', str(model), '--report', '--memory', '1GiB']) == 0
    out = capsys.readouterr().out
    assert 'model: llama, W4, groups of 32, 2 layers of 64' in out and 'it fits' in out
    for private in (str(model), 'alice', 'secret-robot', str(Path.home()), str(Path.cwd())):
        assert private not in out


def test_no_name_of_a_user_host_or_library(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA library that cannot be loaded is named in its error, with its path."""
    library = tmp_path / 'alice' / 'libtinychat_cuda.so'
    library.parent.mkdir()
    library.write_bytes(b'no library')
    monkeypatch.setenv('TINYCHAT_CUDA_LIBRARY', str(library))
    monkeypatch.setenv('USER', 'alice')
    assert main(['info', '--report']) == 0
    out = capsys.readouterr().out
    assert 'cuda: built, but there is no device that it can use' in out
    words = set(out.replace(',', ' ').split())
    assert not words & {'alice', socket.gethostname(), getuser()} and str(tmp_path) not in out


def test_a_board_and_an_unknown_processor(tmp_path: Path) -> None:
    (tmp_path / 'proc/device-tree').mkdir(parents=True)
    (tmp_path / 'proc/device-tree/model').write_bytes(b'NVIDIA Jetson Orin Nano\0')
    (tmp_path / 'proc/cpuinfo').write_text('processor\t: 0\nCPU part\t: 0xd42\n')
    facts = installation(tmp_path)
    assert (facts['board'], facts['cpu']) == ('NVIDIA Jetson Orin Nano', '0xd42')
    assert facts['system'].startswith('unknown system, Linux ')


@pytest.mark.parametrize('value', ['a\nb', 'x' * 5000, '\x1b[31mred'])
def test_each_fact_is_one_line(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RMW_IMPLEMENTATION', value)
    assert all(fact.isprintable() and len(fact) <= 1000 for fact in installation().values())


def test_without_a_model_and_a_report_it_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['info']) == 2
    assert 'info needs the directory of a split checkpoint, or --report' in capsys.readouterr().err
