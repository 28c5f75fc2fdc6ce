# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure every family and update the table in docs/families.md.

    PYTHONPATH=test:test/core python -m families.table
"""
from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from families.measuring import error_at_long_positions, errors_in_4_bits, errors_in_16_bits, LONG_CONTEXTS
from families.tiny_models import MODELS

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'families.md'
BEGIN, END = '<!-- measured -->\n', '<!-- end -->\n'


def row(name: str) -> str:
    """Return a model's line, with the errors that are there on this machine."""
    with TemporaryDirectory() as made:
        directory = Path(made)
        prefill, decode = errors_in_16_bits(name, directory / '16')
        four_bits, *_ = errors_in_4_bits(name, directory / '4')
        far = f'{error_at_long_positions(name, directory / "far"):.0e}' if name in LONG_CONTEXTS else ''
    return f'| {name} | {prefill:.0e} | {decode:.0e} | {four_bits:.0e} | {far} |\n'


def main() -> None:
    """Replace what stands between the two marks."""
    text = PAGE.read_text(encoding='utf-8')
    rows = ''.join(row(name) for name in MODELS)
    table = f'| model | prefill | decode | W4 | beyond 4096 |\n|---|---|---|---|---|\n{rows}'
    PAGE.write_text(text[:text.index(BEGIN) + len(BEGIN)] + table + text[text.index(END):], encoding='utf-8')


if __name__ == '__main__':
    main()
