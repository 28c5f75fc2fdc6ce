# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Every link of a page to a file of the house leads somewhere."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    links = re.findall(r'\[[^\]]+\]\(([^)#\s]+)', page.read_text())
    assert not [link for link in links if '://' not in link and not (page.parent / link).exists()]
