# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
How models mark what they think before they answer, and which marks and switches a chat template knows.

The marks are those of the families' chat templates: DeepSeek-R1 and Qwen3 (`<think>`), Magistral (`[THINK]`), Gemma
(`<|channel>`), Command A (`<|START_THINKING|>`), Kimi (`◁think▷`), Seed-OSS (`<seed:think>`); and of tool calls, which
are not said either: Hermes and Qwen (`<tool_call>`), Mistral (`[TOOL_CALLS]`), Llama 3 (`<|python_tag|>`), Granite and
Phi-4 (`<|tool_call|>`), DeepSeek (`<｜tool▁calls▁begin｜>`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import re

_THOUGHTS = ('think', 'thinking', 'thought', 'thoughts', 'reasoning', 'reflection', 'scratchpad', 'analysis',
             'inner_monologue', 'antthinking', 'seed:think', 'think_fast', 'think_faster')
# An opening mark, and what ends what it opens.
THOUGHT_PAIRS: dict[str, tuple[str, ...]] = {
    **{f'<{name}>': (f'</{name}>',) for name in _THOUGHTS},
    **{f'[{name}]': (f'[/{name}]',) for name in ('think', 'thinking', 'thought', 'reasoning')},
    **{f'<|{name}|>': (f'<|/{name}|>', f'<|end_{name}|>', f'<|end_of_{name}|>')
       for name in ('think', 'thinking', 'thought', 'reasoning')},
    '◁think▷': ('◁/think▷',),
    '<|channel>': ('<channel|>',),
    **{f'<|begin_of_{name}|>': (f'<|end_of_{name}|>',) for name in ('thought', 'reasoning')},
    '<|start_thinking|>': ('<|end_thinking|>',),
}
# The same of what is for a tool; '': nothing ends it.
TOOL_PAIRS: dict[str, tuple[str, ...]] = {
    **{f'<{name}>': (f'</{name}>',) for name in ('tool_call', 'tool_calls', 'tool_response', 'function_call')},
    '[tool_calls]': ('',),
    '<|python_tag|>': ('',),
    '<|tool_call>': ('<tool_call|>',),
    '<|tool_call|>': ('<|/tool_call|>', ''),
    '<|start_action|>': ('<|end_action|>',),
    '<|tool_call_start|>': ('<|tool_call_end|>',),
    '<|tool_calls_section_begin|>': ('<|tool_calls_section_end|>',),
    '<｜tool▁calls▁begin｜>': ('<｜tool▁calls▁end｜>',),
}
# Parts of a tool call that are control tokens, and belong to its text.
_WITHIN_CALLS = ('[args]', '[call_id]', '<｜tool▁call▁begin｜>', '<｜tool▁call▁end｜>', '<｜tool▁sep｜>')
_SHOWN = frozenset([*THOUGHT_PAIRS, *TOOL_PAIRS, *_WITHIN_CALLS,
                    *(end for ends in (*THOUGHT_PAIRS.values(), *TOOL_PAIRS.values()) for end in ends if end)])
# Variables by which templates switch thinking on and off.
_SWITCHES = ('enable_thinking', 'thinking')


@dataclass(frozen=True)
class ThoughtMarks:
    """What a model writes before and after a thought, in its own spelling."""

    opening: str
    closing: str


def begins_thought(prompt_end: str) -> bool:
    """Tell whether a prompt ends with an opening mark, as the templates of some thinking models do."""
    return prompt_end.rstrip().lower().endswith(tuple(THOUGHT_PAIRS))


def is_mark(token: str) -> bool:
    """Tell whether a token marks a thought or a tool call: part of the answer's text, though no text itself."""
    return token.lower() in _SHOWN


def thought_marks(template: str, added_tokens: Iterable[str] = ()) -> ThoughtMarks | None:
    """
    Return the marks that a chat template writes or looks for, or that are tokens of the model; None where none is.

    `template`: its source. `added_tokens`: the texts of tokens beside the model's own vocabulary.
    """
    tokens = {token.lower(): token for token in added_tokens}

    def spelt(mark: str) -> str:
        found = re.search(re.escape(mark), template, re.IGNORECASE)
        return tokens.get(mark) or (found[0] if found else '')

    pairs = [(opening, closing) for opening, closings in THOUGHT_PAIRS.items()
             for closing in closings if spelt(closing)]
    # Some templates only look for the end of a thought.
    pairs.sort(key=lambda pair: not spelt(pair[0]))
    return ThoughtMarks(spelt(pairs[0][0]) or pairs[0][0], spelt(pairs[0][1])) if pairs else None


def thinking_switch(template: str) -> str:
    """Return the name of the variable by which a chat template switches thinking on and off; '' where none does."""
    return next((name for name in _SWITCHES if re.search(rf'\{{%-?\s*(?:el)?if\b[^%]*\b{name}\b', template)), '')
