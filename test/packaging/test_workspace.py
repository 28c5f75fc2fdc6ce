# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""In a workspace set up with README.md's commands, the real rosdep and the real colcon find both packages."""

from __future__ import annotations

import os
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

from catkin_pkg.package import parse_package
import colcon_core
import pytest
import rosdep2
import yaml

assert colcon_core and rosdep2  # the tools that are run
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {parse_package(str(ROOT / folder)).name: parse_package(str(ROOT / folder))
            for folder in ('.', 'tinychat_interfaces')}
# Without site's .pth files: one of them makes this environment an ament prefix in which both packages are installed.
RUN = (f'import sys; sys.path[:] = {sys.path!r}; sys.argv[0] = {{0!r}}; '
       'from {1} import {2}; sys.exit({2}())')


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a workspace after the first command of README.md, this directory being what git would clone."""
    clone, link = re.search(r'git clone \S+ (src/\S+) && (ln -s .+)', (ROOT / 'README.md').read_text()).groups()
    space = tmp_path / 'workspace'
    (space / 'src').mkdir(parents=True)
    (space / clone).symlink_to(ROOT)
    subprocess.run(link.split(), cwd=space, check=True)
    return space


def tool(name: str, module: str, function: str, *arguments: str, cwd: Path, **environment: str) -> Any:
    """Run a tool of this environment, with no ROS 2 sourced."""
    clean = {key: value for key, value in os.environ.items() if key not in ('AMENT_PREFIX_PATH', 'ROS_PACKAGE_PATH')}
    command = [sys.executable, '-S', '-c', RUN.format(name, module, function), *arguments]
    return subprocess.run(command, cwd=cwd, env=clean | environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)


def test_colcon_finds_both_packages(workspace: Path) -> None:
    done = tool('colcon', 'colcon_core.command', 'main', 'list', '--names-only', cwd=workspace)
    assert done.returncode == 0, done.stdout
    assert set(done.stdout.split()) == {*PACKAGES}


def test_rosdep_resolves_every_dependency(workspace: Path) -> None:
    """With rosdep.yaml, and a database that has all other keys of the two package.xml, as rosdistro has."""
    keys = {depend.name for package in PACKAGES.values() for kind in
            (package.buildtool_depends, package.build_depends, package.exec_depends, package.test_depends)
            for depend in kind} - {*PACKAGES}
    own = yaml.safe_load((ROOT / 'rosdep.yaml').read_text())
    assert {*own} <= keys
    local = workspace.parent / 'rosdep'
    local.mkdir()
    files = {'keys.yaml': {key: {'ubuntu': [f'apt-{key}']} for key in keys - {*own}},
             'index.yaml': {'type': 'index', 'version': 4, 'distributions': {'kilted': {
                 'distribution': ['kilted.yaml'], 'distribution_status': 'active', 'distribution_type': 'ros2',
                 'python_version': 3}}},
             'kilted.yaml': {'type': 'distribution', 'version': 2, 'release_platforms': {'ubuntu': ['noble']},
                             'repositories': {}}}
    for name, content in files.items():
        (local / name).write_text(('%YAML 1.1\n---\n' if name != 'keys.yaml' else '') + yaml.safe_dump(content))
    (local / '20-default.list').write_text(f'yaml {(local / "keys.yaml").as_uri()}\n')
    line, target = re.search(r'echo "(yaml .+)" \| sudo tee \S+/(\S+)', (ROOT / 'README.md').read_text()).groups()
    (local / target).write_text(line.replace('$PWD', str(workspace)) + '\n')
    environment = {'ROSDEP_SOURCE_PATH': str(local), 'ROSDISTRO_INDEX_URL': (local / 'index.yaml').as_uri(),
                   'ROS_HOME': str(workspace.parent / 'home'), 'ROS_DISTRO': 'kilted'}
    # No package is there, neither from pip nor from apt; and pip may install, as on 22.04.
    programs = workspace.parent / 'bin'
    programs.mkdir()
    for name in ('pip3', 'dpkg-query', 'apt-cache', 'sudo'):
        (programs / name).write_text('#!/bin/sh\n')
        (programs / name).chmod(0o755)
    environment |= {'PATH': f'{programs}:{os.environ["PATH"]}', 'PIP_BREAK_SYSTEM_PACKAGES': '1'}
    command = re.search(r'rosdep (install .+)', (ROOT / 'README.md').read_text())[1].split()
    for arguments in (['update'], [*command, '--simulate', '--os', 'ubuntu:noble']):
        done = tool('rosdep', 'rosdep2.main', 'rosdep_main', *arguments, cwd=workspace, **environment)
        assert done.returncode == 0, done.stdout
    assert set(re.findall(r'apt-(?!get)\S+', done.stdout)) == {f'apt-{key}' for key in keys - {*own}}
    assert set(re.findall(r'pip3 install -U (\S+)', done.stdout)) == {'msgspec', 'safetensors', 'tokenizers'}
    assert 'apt-get install -y python3-xxhash' in done.stdout
