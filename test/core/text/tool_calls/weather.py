# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Two tools, answers that call them in every format, and a vocabulary of bytes that has the formats' marks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
import re
from typing import Any

from tinychat_core.constraint import OutputConstraint
from tinychat_core.text.tool_calls.grammar import answer_grammar, AnswerParts

TOOLS: list[dict[str, Any]] = [
    {
        'type': 'function',
        'function': {
            'name': 'get_weather',
            'description': 'Tell the weather.',
            'parameters': {
                'type': 'object',
                'properties': {
                    'city': {'type': 'string', 'description': 'A city.'},
                    'days': {'type': 'integer', 'minimum': 1},
                },
                'required': ['city'],
            },
        },
    },
    {'type': 'function', 'function': {'name': 'get', 'description': 'Tell all.'}},
]
# Marks and quotes within a text are text.
CALLS = [('get_weather', '{"city": "Par\\"is } </tool_call> ```", "days": 2}'), ('get', '{}')]

# What each format's answer looks like, calls of both tools where it has room for two.
GOLDEN = {
    'hermes': '<tool_call>\n{"name": "get_weather", "arguments": %s}\n</tool_call>\n'
              '<tool_call>\n{"name": "get", "arguments": %s}\n</tool_call>',
    'llama3': '{"name": "get_weather", "parameters": %s}',
    'mistral': '[TOOL_CALLS][{"name": "get_weather", "arguments": %s}, {"name": "get", "arguments": %s}]',
    'mistral-v11': '[TOOL_CALLS]get_weather[CALL_ID]aB3456789[ARGS]%s[TOOL_CALLS]get[CALL_ID]bB3456789[ARGS]%s',
    'mistral-v13': '[TOOL_CALLS]get_weather[ARGS]%s[TOOL_CALLS]get[ARGS]%s',
    'phi4': '<|tool_call|>[{"name": "get_weather", "arguments": %s}, {"name": "get", "arguments": %s}]<|/tool_call|>',
    'phi4-single': '<|tool_call|>{"name": "get_weather", "arguments": %s}<|/tool_call|>'
                   '<|tool_call|>{"name": "get", "arguments": %s}<|/tool_call|>',
    'granite': '<|tool_call|>[{"name": "get_weather", "arguments": %s}, {"name": "get", "arguments": %s}]',
    'deepseek': '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n%s\n'
                '```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n%s\n'
                '```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    'deepseek-v3.1': '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>%s<｜tool▁call▁end｜>'
                     '<｜tool▁call▁begin｜>get<｜tool▁sep｜>%s<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    'gemma': '```tool_code\n{"name": "get_weather", "parameters": %s}\n```\n'
             '```tool_code\n{"name": "get", "parameters": %s}\n```',
    'general': '<tool_call>\n{"name": "get_weather", "arguments": %s}\n</tool_call>\n'
               '<tool_call>\n{"name": "get", "arguments": %s}\n</tool_call>',
}
_MARKS = ('[TOOL_CALLS]', '[CALL_ID]', '[ARGS]', '<|python_tag|>', '<|tool_call|>', '<|/tool_call|>', '[THINK]',
          '[/THINK]', '<｜tool▁calls▁begin｜>', '<｜tool▁call▁begin｜>', '<｜tool▁sep｜>', '<｜tool▁call▁end｜>',
          '<｜tool▁calls▁end｜>')
CONTROL = {mark: 257 + i for i, mark in enumerate(_MARKS)}
_SPELLING = {id_: mark for mark, id_ in CONTROL.items()}
EOS = 256


class Marks:
    """A vocabulary of bytes, the end of an answer, and the marks of all formats as control tokens."""

    vocab_size = 257 + len(CONTROL)
    stop_ids = frozenset({EOS})
    control_ids = frozenset({EOS, *CONTROL.values()})

    def bytes_of(self, token: int) -> bytes:
        return bytes([token]) if token < EOS else _SPELLING.get(token, '').encode()

    def encode_within(self, text: str) -> list[int]:
        return [*text.encode()]


VOCABULARY = Marks()


def golden(name: str) -> str:
    """Return the answer of a format that calls CALLS."""
    text = GOLDEN[name]
    return text % tuple(arguments for _, arguments in CALLS[:text.count('%s')])


def ids(text: str) -> list[int]:
    """Return a text as tokens, its marks as control tokens."""
    parts = re.split(f'({"|".join(map(re.escape, CONTROL))})', text)
    return [id_ for part in parts for id_ in ([CONTROL[part]] if part in CONTROL else part.encode())]


def fate(answer: AnswerParts, text: str, *, spelt: bool = False) -> str:
    """
    Return what a constraint makes of an answer.

    'complete': it may end here. 'incomplete': not yet. 'refused: …' has the text up to what must not follow. `spelt`:
    marks are spelt in bytes.
    """
    constraint = OutputConstraint('', '', VOCABULARY, VOCABULARY.vocab_size,
                                  grammar=answer_grammar(answer, CONTROL))
    tokens = [*text.encode()] if spelt else ids(text)
    for i, token in enumerate(tokens):
        if not constraint.token_mask()[token // 32] >> (token % 32) & 1:
            return 'refused: ' + b''.join(map(VOCABULARY.bytes_of, tokens[:i])).decode(errors='replace')
        if constraint.accept(token) and i + 1 < len(tokens):
            return 'refused: ' + b''.join(map(VOCABULARY.bytes_of, tokens[:i + 1])).decode(errors='replace')
    return 'complete' if constraint.is_accepting else 'incomplete'


def numbered() -> Iterator[str]:
    """Yield ids of calls."""
    return (f'call{i:05}' for i in count())
