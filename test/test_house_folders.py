# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Inside a floor, too, arrows point downwards: which folders of tinychat_core may import which, and no circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[1] / 'tinychat_core'

# Folder -> folders that its modules may import. A new folder needs a line here, and docs/architecture.md one as well.
ALLOWED: dict[str, set[str]] = {
    'checkpoint': set(),   # the format on disk; knows nothing of how a model is loaded or made
    'json_schema': set(),
    'workers': set(),
    'families': {'checkpoint'},
    'loading': {'checkpoint'},
    'text': {'json_schema', 'workers'},
    'vision': {'checkpoint'},  # pixels and embeddings; knows nothing of requests
    'speech': {'text'},
    'importers': {'checkpoint', 'families', 'loading', 'text'},
    'quantize': {'checkpoint', 'families', 'importers', 'text'},
    'serving': {'speech', 'text', 'vision', 'workers'},
    'remote': {'serving', 'speech', 'text', 'vision', 'workers'},  # other machines, behind the face of serving
    # A door: it translates and nothing else; of text the tools that a request brings, of vision the sources of images.
    'server': {'serving', 'text', 'vision'},
    'speculation': set(),
    'bench': {'checkpoint', 'families', 'loading', 'serving', 'text'},
    'commands': {'bench', 'checkpoint', 'importers', 'loading', 'quantize', 'server', 'serving', 'text',
                 'vision'},
}


def folders() -> list[str]:
    return sorted(path.name for path in CORE.iterdir() if (path / '__init__.py').is_file())


def imported_folders(folder: str) -> Iterator[tuple[str, str]]:
    """Yield (file, imported folder) for each import of a module of another folder, those inside functions included."""
    for path in sorted((CORE / folder).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module == 'tinychat_core':
                names = [f'tinychat_core.{alias.name}' for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                package, _, rest = name.partition('.')
                other = rest.partition('.')[0]
                if package == 'tinychat_core' and other != folder and (CORE / other / '__init__.py').is_file():
                    yield str(path.relative_to(CORE)), other


@pytest.mark.parametrize('folder', folders())
def test_a_folder_imports_only_those_below_it(folder: str) -> None:
    wrong = [f'{path} imports {other}' for path, other in imported_folders(folder) if other not in ALLOWED[folder]]
    assert not wrong


def test_the_folders_have_no_circles() -> None:
    left = dict(ALLOWED)
    while left:
        ends = [folder for folder, below in left.items() if not below & left.keys()]
        assert ends, f'a circle among {", ".join(left)}'
        for folder in ends:
            del left[folder]


@pytest.mark.parametrize('path', sorted(CORE.glob('*.py')), ids=lambda path: path.name)
def test_what_runs_a_model_knows_nothing_of_requests(path: Path) -> None:
    """`serving` stands on the engine; only the package's own table of names tells where Conversation is."""
    if path.name != '__init__.py':
        assert 'tinychat_core.serving' not in path.read_text()


def test_imports_are_seen() -> None:
    """An importer reads checkpoints; if no import were seen, the tests above could not fail."""
    assert 'checkpoint' in {other for _, other in imported_folders('importers')}
