# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The chat template of an imported model: its own, the requested one, or the one that its name implies."""

from __future__ import annotations

from collections.abc import Mapping
import json
import logging
from pathlib import Path
from typing import Any

from tinychat_core.errors import InvalidParameterError, TinyChatError
from tinychat_core.regular_file import read_file
from tinychat_core.text.chat_template import ChatTemplate
from tinychat_core.text.named_templates import CONTROL_TOKENS, named_template, template_names, template_of_model

_log = logging.getLogger(__name__)

_FILE, _OLD_FILE, _CONFIG = 'chat_template.jinja', 'chat_template.json', 'tokenizer_config.json'
_QUESTION = 'Where are you?'


def chosen_template(choice: str) -> str:
    """Return a template by name or file; TinyChatError where it is neither, or does not output the messages."""
    if choice in template_names():
        return named_template(choice)
    path = Path(choice)
    if not path.exists():
        raise TinyChatError(f'{choice} is neither a file nor the name of a chat template; the names are '
                            f'{", ".join(template_names())}')
    try:
        source = read_file(path).decode()
    except UnicodeDecodeError:
        raise TinyChatError(f'{path} is not a UTF-8 text file, and not a chat template') from None
    if _options(source.encode()):
        raise TinyChatError(f'{path} is JSON; give a file with the template alone')
    try:
        text = ChatTemplate(source, {'bos_token': '', 'eos_token': ''}).render(
            [{'role': 'user', 'content': _QUESTION}], add_generation_prompt=True)
    except TinyChatError as error:
        raise InvalidParameterError(f'{path}: {error}') from None
    if _QUESTION not in text:
        raise InvalidParameterError(f"{path} is not a chat template: it does not write the user's message")
    return source


def with_template(files: Mapping[str, bytes], choice: str | None, label: str, model_name: str) -> dict[str, bytes]:
    """
    Return a model's small files with the chosen template; without a choice, warn where the model has none.

    `model_name` is the name under which it was published. TinyChatError where the choice is not a template.
    """
    if choice is None and _has_template(files):
        return dict(files)
    if choice is None:
        choice = template_of_model(model_name)
        if choice is None:
            _log.warning('%s has no chat template: to chat with it, set one with --chat-template (a file, or %s); a '
                         'base model needs none', label, ', '.join(template_names()))
            return dict(files)
        _log.warning("%s has no chat template; the one of %s is used because of the model's name; --chat-template "
                     'sets another', label, choice)
    source = chosen_template(choice)
    missing = [token for token in CONTROL_TOKENS.get(choice, ()) if json.dumps(token).encode() not in _tokens(files)]
    if missing:
        _log.warning('%s does not have the tokens %s of the chat template %s, and reads them as text', label,
                     ', '.join(missing), choice)
    return {**{name: content for name, content in files.items() if name != _OLD_FILE}, _FILE: source.encode()}


def _has_template(files: Mapping[str, bytes]) -> bool:
    """Return whether the loader will find a template; among several, one must be named `default`."""
    template = next((found for name in (_CONFIG, _OLD_FILE)
                     if (found := _options(files.get(name)).get('chat_template')) is not None), None)
    if isinstance(template, list):
        template = next((entry.get('template') for entry in template
                         if isinstance(entry, dict) and entry.get('name') == 'default'), None)
    return _FILE in files or isinstance(template, str)


def _tokens(files: Mapping[str, bytes]) -> bytes:
    """Return tokenizer.json as JSON without escapes."""
    return json.dumps(_options(files.get('tokenizer.json')), ensure_ascii=False).encode(errors='replace')


def _options(content: bytes | None) -> dict[str, Any]:
    try:
        options = json.loads(content or b'{}')
    except (ValueError, RecursionError):
        return {}
    return options if isinstance(options, dict) else {}
