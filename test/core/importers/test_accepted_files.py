# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
docs/accepted-files.md says what the importer does: every row of its tables is tried.

A section of the page has a module of cases: by the first column, what makes the files and returns the arguments
of `tinychat import` without OUT. A row may have several cases.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import logging
from pathlib import Path
import re

import accepted_directories
import accepted_gguf
import accepted_quantized
import accepted_templates
import accepted_tokenizers
import pytest

from tinychat_core.cli import main

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'accepted-files.md'
Case = Callable[[Path], Sequence[str]]
CASES: Mapping[str, Mapping[str, Sequence[Case]]] = {
    'GGUF files': accepted_gguf.CASES,
    'Hugging Face directories': accepted_directories.CASES,
    'Quantized directories': accepted_quantized.CASES,
    'Tokenizers': accepted_tokenizers.CASES,
    'Chat templates': accepted_templates.CASES,
}


def rows() -> dict[tuple[str, str], tuple[str, str]]:
    """Return result and message by section and first column."""
    found = {}
    for section in PAGE.read_text().split('\n## ')[1:]:
        title, _, body = section.partition('\n')
        for line in body.splitlines():
            cells = [cell.strip() for cell in line.strip('|').split('|')] if line.startswith('| ') else []
            if len(cells) == 3 and cells[0] != 'file':
                assert (title, cells[0]) not in found, f'{cells[0]} stands twice on the page'
                found[title, cells[0]] = (cells[1], cells[2].strip('`'))
    return found


ROWS = rows()
TRIED = [pytest.param(*row, case, id=f'{row[1]}-{i}')
         for row in ROWS for i, case in enumerate(CASES.get(row[0], {}).get(row[1], ()))]


def test_every_row_has_a_case_and_every_case_a_row() -> None:
    assert {(section, name) for section, cases in CASES.items() for name, made in cases.items() if made} == ROWS.keys()


@pytest.mark.parametrize(('section', 'name', 'case'), TRIED)
def test_a_row(section: str, name: str, case: Case, tmp_path: Path, core_log: pytest.LogCaptureFixture,
               capsys: pytest.CaptureFixture[str]) -> None:
    result, message = ROWS[section, name]
    code = main(['import', *case(tmp_path), str(tmp_path / 'out')])
    said = [record.getMessage() for record in core_log.records if record.levelno >= logging.WARNING]
    refusals = [line for line in capsys.readouterr().err.splitlines() if line.startswith('tinychat: error: ')]
    assert (code, (tmp_path / 'out').exists()) == ((2, False) if result == 'refused' else (0, True)), refusals
    assert {'exact': said == [], 'warning': len(said) == 1, 'refused': len(refusals) == 1}[result], (said, refusals)
    pattern = '.*'.join(re.escape(part) for part in message.split('…'))
    assert re.search(pattern, ' '.join(refusals if result == 'refused' else said))
