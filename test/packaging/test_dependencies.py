# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""docs/dependencies.md lists the licence of every dependency, and nothing that is none."""

from __future__ import annotations

import ast
from pathlib import Path
import re
from typing import Any

from catkin_pkg.package import parse_package

ROOT = Path(__file__).resolve().parents[2]
OWN = {'tinychat_ros', 'tinychat_interfaces'}


def arguments() -> dict[str, Any]:
    """Return what setup.py passes to setup() as literals. The metadata of an installation may be older."""
    call = next(node for node in ast.walk(ast.parse((ROOT / 'setup.py').read_text()))
                if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'setup')
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords
            if keyword.arg in ('install_requires', 'extras_require')}


def declared() -> set[str]:
    """Return the names of what setup.py and both package.xml declare."""
    setup = arguments()
    lines = [*setup['install_requires'], *(line for lines in setup['extras_require'].values() for line in lines)]
    names = {re.split(r'[ ;<>=!\[]', line)[0] for line in lines}
    for folder in ('.', 'tinychat_interfaces'):
        package = parse_package(str(ROOT / folder))
        names |= {depend.name for depends in (package.buildtool_depends, package.build_depends, package.exec_depends,
                                              package.test_depends) for depend in depends}
    return names - OWN


def listed() -> dict[str, str]:
    """Return the rest of its row by each name in the first column."""
    found = {}
    for line in (ROOT / 'docs' / 'dependencies.md').read_text().splitlines():
        if line.startswith('| ') and not line.startswith('| package'):
            first, _, rest = line.strip('| ').partition('|')
            found.update(dict.fromkeys(re.findall(r'[\w-]+', first), rest))
    return found


def test_every_dependency_is_listed() -> None:
    assert declared() <= {*listed()}


def test_each_has_a_licence_that_apache_2_allows() -> None:
    allowed = r'\b(Apache-2\.0|BSD(-\d-Clause)?|MIT|PSF-2\.0)\b'
    assert [name for name, row in listed().items() if not re.search(allowed, row)] == []


def test_nothing_else_is_listed() -> None:
    aliases = {'PyYAML', 'pybind11'}  # in parentheses, for readers
    assert {*listed()} - declared() == aliases
