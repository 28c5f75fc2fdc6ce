# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The worker that renders chat templates: jinja in a sandbox, with the functions that Hugging Face's templates use.

Requests: `source` alone → `error`, '' for valid jinja. `source` with `variables`, the names that the template sees →
`text`, or `error` where the template refuses them.
"""
from __future__ import annotations

from datetime import datetime
from functools import lru_cache
import json
from typing import Any, NoReturn

from jinja2 import nodes, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tinychat_core.workers.serving import Ask, Reply, serve


class _Generation(Extension):
    """`{% generation %}` marks what the model wrote, for training; its contents stay as they are."""

    tags = {'generation'}  # noqa: RUF012 (jinja's own way)

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        body: list[nodes.Node] = parser.parse_statements(('name:endgeneration',), drop_needle=True)
        return body


def _answer(request: dict[str, Any], _: Ask) -> Reply:
    try:
        template = _compiled(request['source'])
    except (TemplateError, SyntaxError, ValueError, RecursionError) as error:
        return {'error': _line(error)}, b''
    if 'variables' not in request:
        return {'error': ''}, b''
    try:
        return {'error': '', 'text': template.render(request['variables'])}, b''
    except MemoryError:
        raise
    except Exception as error:  # a template may do whatever a program can
        return {'error': _line(error)}, b''


@lru_cache(maxsize=4)
def _compiled(source: str) -> Any:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=[_Generation, loopcontrols])
    environment.filters['tojson'] = _to_json
    environment.globals['raise_exception'] = _raise_exception
    environment.globals['strftime_now'] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)


def _line(error: Exception) -> str:
    text = str(error) if isinstance(error, TemplateError) else f'{type(error).__name__}: {error}'
    return text[:2000] or type(error).__name__


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None,
             separators: tuple[str, str] | None = None, sort_keys: bool = False) -> str:
    """Return plain JSON: jinja's own filter would escape <, >, & and ' as HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def main() -> None:
    """Serve."""
    serve(_answer)
