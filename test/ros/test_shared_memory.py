# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Processes of other users that Fast DDS's shared memory keeps from talking with the node are seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from test_diagnostics import reports
from waiting import wait_for

from tinychat_ros.shared_memory import other_users

OURS, OTHER = os.getpid(), 4194305  # no process has a number so high


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the root of a machine without a process."""
    (tmp_path / 'dev/shm').mkdir(parents=True)
    (tmp_path / 'proc').mkdir()
    (tmp_path / 'proc/locks').write_text('')
    return tmp_path


def hold(machine: Path, port: int, pid: int, prefix: str = 'fastdds') -> None:
    """Let a process hold the lock of a port."""
    lock = machine / f'dev/shm/{prefix}_port{port}_el'
    lock.touch()
    with (machine / 'proc/locks').open('a') as locks:
        locks.write(f'1: FLOCK  ADVISORY  WRITE {pid} 00:1b:{lock.stat().st_ino} 0 EOF\n')


def others_own_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all files be those of another user."""
    uid = os.geteuid()
    monkeypatch.setattr('tinychat_ros.shared_memory.os.geteuid', lambda: uid + 1)


@pytest.mark.parametrize('prefix', ['fastdds', 'fastrtps'])
def test_another_user_s_process_is_seen(machine: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    hold(machine, 7400 + 250 * 3 + 11, OURS, prefix)
    hold(machine, 7400 + 250 * 3 + 13, OTHER, prefix)
    assert other_users(3, machine) == []
    others_own_the_files(monkeypatch)
    assert len(other_users(3, machine)) == 1
    assert other_users(4, machine) == []  # another domain does not hear the node


def test_a_file_that_a_killed_process_left_is_nobody(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others_own_the_files(monkeypatch)
    (machine / 'dev/shm/fastdds_port7411_el').touch()
    assert other_users(0, machine) == []


def test_a_node_without_shared_memory_reaches_everybody(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others_own_the_files(monkeypatch)
    hold(machine, 7411, OTHER)
    assert other_users(0, machine) == []


def test_elsewhere_than_on_linux_nobody_is_seen(tmp_path: Path) -> None:
    assert other_users(0, tmp_path) == []


def test_the_node_warns_while_it_is_so(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    users = ['ada']
    monkeypatch.setattr('tinychat_ros.diagnostics.other_users', lambda *_: users)
    heard = reports(start())
    wait_for(lambda: heard)
    assert heard[-1].level == DiagnosticStatus.WARN
    assert heard[-1].message.startswith('ROS processes of ada run on this machine and cannot exchange messages')
    users.clear()
    wait_for(lambda: heard[-1].level == DiagnosticStatus.OK)
