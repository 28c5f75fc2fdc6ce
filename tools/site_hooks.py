# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""MkDocs hooks: README.md becomes the first page, and links to files outside docs/ lead to the repository."""

from __future__ import annotations

from pathlib import Path
import re
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r'(\]\()(?!https?:|mailto:|#)([^)\s#]+)')


def on_files(files: Files, config: Any) -> Files:
    """Add README.md, as if it were in docs/."""
    files.append(File.generated(config, 'index.md', content=(ROOT / 'README.md').read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Return a page whose links work on the site."""
    folder = ROOT if page.file.src_uri == 'index.md' else ROOT / 'docs'

    def target(match: re.Match[str]) -> str:
        path = (folder / match[2]).resolve()
        if path.is_relative_to(ROOT / 'docs'):
            return f"{match[1]}{path.relative_to(ROOT / 'docs')}"
        if path == ROOT / 'README.md':
            return f'{match[1]}index.md'
        if path.exists():
            return f"{match[1]}{config['repo_url'].rstrip('/')}/blob/main/{path.relative_to(ROOT)}"
        return match[0]  # MkDocs reports it

    return LINK.sub(target, markdown)
