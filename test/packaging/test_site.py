# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The documentation builds as a site: every page is in its navigation, and every link and anchor leads somewhere."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys

import mkdocs
import pytest

assert mkdocs  # the tool that is run
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the site. A warning fails the build."""
    out = tmp_path_factory.mktemp('site')
    done = subprocess.run([sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', out], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_readme_is_the_first_page(site: Path) -> None:
    page = (site / 'index.html').read_text()
    assert 'Run a language model on the robot itself' in page
    assert 'href="robot-integration/"' in page and 'src="demo.svg"' in page


def test_no_link_leaves_the_site_for_a_file(site: Path) -> None:
    """What is not in docs/ is linked in the repository, by its whole address."""
    for page in site.rglob('*.html'):
        for link in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
            if '://' not in link and not link.startswith(('mailto:', '/', 'data:')):
                path = (page.parent / link).resolve()
                assert path.is_relative_to(site.resolve()) and path.exists(), f'{page.relative_to(site)}: {link}'
