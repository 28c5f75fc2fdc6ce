# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What package.xml, setup.py and colcon_defaults.yaml say is what is there."""

from __future__ import annotations

from ast import Import, ImportFrom, parse, walk
from importlib.metadata import requires
import os
from pathlib import Path
import subprocess
import sys
import zipfile

from catkin_pkg.changelog import get_changelog_from_path
from catkin_pkg.package import parse_package
import pytest
import yaml

import tinychat_core

ROOT = Path(__file__).resolve().parents[2]
# Where the name in package.xml is not the one to import.
ROSDEP = {'numpy': 'python3-numpy', 'jinja2': 'python3-jinja2', 'yaml': 'python3-yaml',
          # Starlette is what FastAPI stands on.
          'fastapi': 'python3-fastapi', 'starlette': 'python3-fastapi', 'uvicorn': 'python3-uvicorn',
          'httpx': 'python3-httpx', 'jsonschema': 'python3-jsonschema', 'PIL': 'python3-pil',
          'msgspec': 'python3-msgspec-pip', 'safetensors': 'python3-safetensors-pip',
          'tokenizers': 'python3-tokenizers-pip', 'xxhash': 'python3-xxhash'}
# Loaded only by the commands that need them.
WORKSHOP = {'torch', 'transformers', 'huggingface_hub', 'matplotlib', 'llguidance'}
SERVER = {'fastapi', 'starlette', 'uvicorn'}  # The extra `server`.
FLEET = {'httpx', 'jsonschema'}  # The extra `fleet`.
VISION = {'PIL'}  # The extra `vision`.
OWN = {'tinychat_core', 'tinychat_ros'}


def imported(*folders: str) -> set[str]:
    """Return what the packages import from elsewhere, by top-level name."""
    names: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob('*.py'):
            for node in walk(parse(path.read_text())):
                if isinstance(node, Import):
                    names |= {alias.name.partition('.')[0] for alias in node.names}
                elif isinstance(node, ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition('.')[0])
    return names - OWN - set(sys.stdlib_module_names)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names of the files in a wheel of the package, as `pip install` would place them."""
    out = tmp_path_factory.mktemp('wheel')
    # Its own build_temp, or it would leave another wheel's files beside those of a developer.
    command = [sys.executable, 'setup.py', '--quiet', 'egg_info', '--egg-base', str(out),
               'build', '--build-base', str(out), 'bdist_wheel', '--dist-dir', str(out)]
    environment = os.environ | {'TINYCHAT_BUILD_DIR': str(ROOT / 'build' / 'native')}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (path,) = out.glob('*.whl')
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize('folder', ['.', 'tinychat_interfaces'])
def test_package_xml_is_valid(folder: str) -> None:
    warnings: list[str] = []
    package = parse_package(str(ROOT / folder), warnings=warnings)
    assert package.package_format == 3 and package.licenses == ['Apache-2.0'] and package.urls
    assert not warnings


@pytest.mark.parametrize('folder', ['.', 'tinychat_interfaces'])
def test_each_package_has_a_changelog(folder: str) -> None:
    """As REP 132 has it, so that release tools find what is to be released next."""
    changelog = get_changelog_from_path(str(ROOT / folder))
    assert changelog is not None
    name = parse_package(str(ROOT / folder)).name
    assert f'\nChangelog for package {name}\n' in changelog.rst
    assert '\nForthcoming\n---' in changelog.rst


def test_versions_agree() -> None:
    versions = {parse_package(str(ROOT / folder)).version for folder in ('.', 'tinychat_interfaces')}
    command = [sys.executable, 'setup.py', '--version']
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert versions == {told.stdout.split()[-1]} == {tinychat_core.__version__}


def test_package_xml_names_what_is_imported_and_no_more() -> None:
    declared = {depend.name for depend in parse_package(str(ROOT)).exec_depends}
    needed = imported('tinychat_core', 'tinychat_ros', 'launch') - WORKSHOP
    assert {ROSDEP.get(name, name) for name in needed} == declared


def test_pip_installs_what_the_runtime_imports() -> None:
    required = {line.split()[0] for line in requires('tinychat_ros') or []}
    assert imported('tinychat_core') - WORKSHOP - SERVER - FLEET - VISION <= required


def test_everything_is_installed(wheel: set[str]) -> None:
    """All of launch/, config/, examples/, sros2/, and the files beside the modules reach the installation."""
    marker = 'share/ament_index/resource_index/packages/tinychat_ros'
    (prefix,) = [name.removesuffix(marker) for name in wheel if name.endswith(marker)]
    share = f'{prefix}share/tinychat_ros'
    expected = {f'{share}/package.xml'}
    for folder in ('launch', 'config', 'examples', 'sros2'):
        expected |= {f'{share}/{path.relative_to(ROOT)}' for path in (ROOT / folder).glob('*.*')}
    for package in OWN:
        expected |= {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob('*')
                     if path.is_file() and path.suffix not in {'.pyc', '.so'}}
    assert expected <= wheel
    assert any(name.startswith('tinychat_core/_tinychat.') for name in wheel)


def test_colcon_finds_both_packages() -> None:
    defaults = yaml.safe_load((ROOT / 'colcon_defaults.yaml').read_text())
    for verb in ('build', 'test'):
        assert {parse_package(str(ROOT / path)).name for path in defaults[verb]['base-paths']} == {
            'tinychat_ros', 'tinychat_interfaces'}


def test_interfaces_are_generated_from_every_definition() -> None:
    text = (ROOT / 'tinychat_interfaces' / 'CMakeLists.txt').read_text()
    for kind in ('action', 'msg', 'srv'):
        for path in (ROOT / 'tinychat_interfaces' / kind).iterdir():
            assert f'{kind}/{path.name}\n' in text
