# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A model's own chat template: jinja in a sandbox, with the functions that Hugging Face's templates use."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
import json
from pathlib import Path
import re
from typing import Any, NoReturn

from tinychat_core.errors import CheckpointError, InvalidParameterError

# Models that were released before checkpoints had templates; a base model of the same family gets none.
_BUILT_IN = {
    'vicuna': r'vicuna',
    'llama-2': r'llama-?2.*chat',
    'mpt': r'mpt-\d+b-chat',
    'falcon': r'falcon-.*(instruct|chat)',
}
ROLES = ('system', 'user', 'assistant', 'tool')


class ChatTemplate:
    """Renders messages to the text that the model was trained on."""

    def __init__(self, source: str, variables: Mapping[str, str]) -> None:
        """
        Compile the template.

        `variables`: the texts of special tokens by name (`bos_token`, …), as templates use them. Raises
        CheckpointError for a template that is not valid jinja.
        """
        # Imported here: a program that only looks at a checkpoint does not need jinja.
        from jinja2 import TemplateError

        self.source = source
        self._variables = dict(variables)
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise CheckpointError(f'the chat template is not valid jinja: {error}') from None

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool) -> str:
        """
        Return the text of the dialogue, with the beginning of an answer where `add_generation_prompt`.

        Raises InvalidParameterError where the template refuses the messages or cannot do with them.
        """
        from jinja2 import TemplateError

        try:
            text: str = self._template.render(
                messages=[dict(message) for message in messages], tools=None, documents=None,
                add_generation_prompt=add_generation_prompt, **self._variables)
            return text
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise InvalidParameterError(f'the chat template refuses these messages: {error}') from None


def load_template(directory: Path, tokenizer_config: Mapping[str, Any], model_name: str = '') -> str | None:
    """
    Return a checkpoint's template, or None.

    It is additional_chat_templates/default.jinja, else chat_template.jinja, else `chat_template` of
    tokenizer_config.json; of several named ones there, the one named `default`. A model without any gets the one of
    ours that belongs to its name, if there is one.
    """
    for file in (directory / 'additional_chat_templates' / 'default.jinja', directory / 'chat_template.jinja'):
        if file.is_file():
            return file.read_text(encoding='utf-8')
    template = tokenizer_config.get('chat_template')
    if isinstance(template, list):
        template = {entry.get('name'): entry.get('template')
                    for entry in template if isinstance(entry, dict)}.get('default')
    return template if isinstance(template, str) else _built_in(model_name)


def _built_in(model_name: str) -> str | None:
    for name, pattern in _BUILT_IN.items():
        if re.search(pattern, model_name, re.IGNORECASE):
            return (Path(__file__).parent / 'templates' / f'{name}.jinja').read_text(encoding='utf-8')
    return None


def _environment() -> Any:
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the model wrote, for training; its contents stay as they are."""

        tags = {'generation'}  # noqa: RUF012 (jinja's own way)

        def parse(self, parser: Any) -> list[nodes.Node]:
            next(parser.stream)
            body: list[nodes.Node] = parser.parse_statements(('name:endgeneration',), drop_needle=True)
            return body

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=[Generation, loopcontrols])
    environment.filters['tojson'] = _to_json
    environment.globals['raise_exception'] = _raise_exception
    environment.globals['strftime_now'] = lambda form: datetime.now().strftime(form)
    return environment


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None,
             separators: tuple[str, str] | None = None, sort_keys: bool = False) -> str:
    """Return plain JSON: jinja's own filter would escape <, >, & and ' as HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)
