# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Models from Hugging Face's hub, by id; its client caches them, so that later runs need no network."""

from __future__ import annotations

from glob import escape
from pathlib import Path
import re

from tinychat_core.errors import TinyChatError

_WANTED = ['*.json', '*.safetensors', '*.jinja']
# The same weights in other formats.
_NOT_WANTED = ['consolidated*', 'original/*', 'onnx/*']
_ID = r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*'
_FILE = r'(?:[A-Za-z0-9_][^/:]*/)*[A-Za-z0-9_][^/:]*'
_PART = re.compile(r'-\d{5}(-of-\d{5}\.gguf)')


def is_hub_id(source: str) -> bool:
    """Return whether a source looks like OWNER/NAME or OWNER/NAME:FILE."""
    return bool(re.fullmatch(f'{_ID}(:{_FILE})?', source)) and not re.fullmatch(r'[^:]*\.gguf', source)


def local_copy(source: str) -> Path:
    """
    Return the cached directory of a model, or for OWNER/NAME:FILE.gguf the cached file; download it if necessary.

    For a file that is a part, all parts are downloaded. Raises TinyChatError where there is neither a copy nor the hub,
    and names the GGUF files of a model that has no others, or has not the one that was asked for.
    """
    model, _, name = source.partition(':')
    if name and not name.endswith('.gguf'):
        raise TinyChatError(f'{source} names no GGUF file; give {model}:FILE.gguf{_some(model, None)}')
    if name:
        directory = _download(model, [_PART.sub(r'-?????\1', escape(name))])
        if not (directory / name).exists():
            raise TinyChatError(f'{model} has no file {name}{_some(model, directory)}')
        return directory / name
    directory = _download(model, _WANTED, _NOT_WANTED)
    if not any(directory.glob('*.safetensors')):
        files = _some(model, directory)
        if files:
            raise TinyChatError(f'{model} has no safetensors files; give {model}:FILE.gguf{files}')
    return directory


def _download(model: str, wanted: list[str], not_wanted: list[str] | None = None) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise TinyChatError(f'{model} is not a file, and hub ids need `pip install huggingface_hub`') from None
    try:
        return Path(snapshot_download(model, allow_patterns=wanted, ignore_patterns=not_wanted))
    except Exception as error:  # the client raises many kinds, from several packages
        reason = str(error).strip().split('\n')[0]
        raise TinyChatError(f'cannot get {model} from the hub: {reason}') from None


def _gguf_files(model: str, directory: Path | None) -> list[str]:
    """Return the GGUF files of a model on the hub, or those of its copy where the hub is unreachable."""
    try:
        from huggingface_hub import HfApi

        names = HfApi().list_repo_files(model)
    except Exception:  # the client raises many kinds, from several packages
        names = [] if directory is None else [str(path.relative_to(directory)) for path in directory.rglob('*.gguf')]
    return sorted(name for name in names if name.endswith('.gguf'))


def _some(model: str, directory: Path | None) -> str:
    """Return the end of a message that lists some of the GGUF files, shortest names first; '' if there are none."""
    files = sorted(_gguf_files(model, directory), key=len)
    return f' (it has {", ".join(files[:8])}{", …" if files[8:] else ""})' if files else ''
