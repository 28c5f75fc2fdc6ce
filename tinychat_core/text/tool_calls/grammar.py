# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The grammar of an answer, for llguidance: a thought, then text, then calls that match the parameters of their tools.

Thoughts and text are not constrained, but after the opening of a call, a call must follow. In some formats the answer
may also begin with a call that has no opening mark. The syntax is llguidance's
Lark (https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
import re

from tinychat_core.json_schema.rewriting import rewrite
from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_core.text.tool_calls.formats import ToolFormat
from tinychat_core.text.tool_calls.tools import MAX_CALLS, NO_TOOLS, ToolUse
from tinychat_core.workers.grammar import JSON_STYLE


@dataclass(frozen=True)
class AnswerParts:
    """
    The parts that an answer may have.

    `thoughts`: the marks of a thought at the beginning; None: no thought. `is_thinking`: the prompt ends with the
    opening mark. `json_schema`, `regex`: what the text must match; '': free text.
    """

    form: ToolFormat | None = None
    use: ToolUse = NO_TOOLS
    thoughts: ThoughtMarks | None = None
    is_thinking: bool = False
    json_schema: str = ''
    regex: str = ''

    @property
    def has_grammar(self) -> bool:
        """Whether the answer needs a grammar: tools, or a thought before constrained text."""
        return bool(self.use.tools) or (self.thoughts is not None and bool(self.json_schema or self.regex))


def answer_grammar(answer: AnswerParts, control_tokens: Mapping[str, int]) -> str:
    """
    Return the grammar of an answer.

    `control_tokens`: ids by text; a mark that is a control token is matched as this token. Raises InvalidParameterError
    like `rewrite`.
    """
    return _Grammar(answer, control_tokens).text()


class _Grammar:
    """The rules of one answer; methods add rules, and return the text that refers to them."""

    def __init__(self, answer: AnswerParts, control_tokens: Mapping[str, int]) -> None:
        self._answer = answer
        self._form = answer.form if answer.use.tools else None
        self._control = control_tokens
        marks = sorted(filter(None, control_tokens), key=len, reverse=True)
        self._marks = re.compile('|'.join(map(re.escape, marks)) or r'(?!)')
        self._rules = ['%llguidance {}', r'SPACE: /[ \n]{0,2}/', r'AFTER: /[ \n]{0,4}/', r'TEXT: /(?s:.*)/']

    def text(self) -> str:
        thought = self._thought()
        bodies = [] if self._answer.use.is_required else [self._text()]
        if self._form and self._answer.use.callable:
            self._calls(self._form)
            bodies += [f'{opening} calls' for opening in self._openings(self._form)]
            if self._form.may_be_plain and self._text_is_free:
                self._plain_calls()
                bodies.append('plain_calls')
        self._rules += [f'body: {" | ".join(bodies)}', f'start: {thought} body']
        return '\n'.join(self._rules) + '\n'

    def _thought(self) -> str:
        marks = self._answer.thoughts
        if marks is None:
            return ''
        self._until('thought_end', marks.closing)
        if self._answer.is_thinking:
            return 'thought_end AFTER'
        # Lazy, because free text may begin with the same characters.
        self._rules.append(f'thought_begin[lazy]: {json.dumps(marks.opening)}')
        is_token = marks.opening in self._control
        begin = f'thought_begin | {self._literal(marks.opening)}' if is_token else 'thought_begin'
        return f'(({begin}) thought_end AFTER)?'

    def _text(self) -> str:
        answer, form = self._answer, self._form
        if answer.json_schema:
            return _json(answer.json_schema)
        if answer.regex:
            return f'/{_slashed(answer.regex)}/'
        if form is None or (answer.use.callable and form.opening):
            return 'TEXT'  # ends at the opening of a call
        if not form.opening:
            # The parser reads an answer that begins with { as a call, so text must not begin with it.
            return r'/([ \n]*[^{ \n](?s:.*))?/'
        forbidden = '|'.join(re.escape(mark).replace('/', r'\/') for mark in form.openings)
        self._rules.append(f'WITHOUT_CALLS: TEXT & ~/(?s:.*)({forbidden})(?s:.*)/')
        return 'WITHOUT_CALLS'

    def _openings(self, form: ToolFormat) -> list[str]:
        answer = self._answer
        if answer.json_schema or answer.regex:
            # The text may be JSON as well, so a call needs a mark.
            return [f'{self._literal(form.opening or form.other_opening)} SPACE']
        if answer.use.is_required or not form.opening:
            return [f'{self._literal(form.opening)} SPACE']
        for i, mark in enumerate(form.openings):
            self._until(f'opening{i}', mark)
        return [f'opening{i} SPACE' for i in range(len(form.openings))]

    def _calls(self, form: ToolFormat) -> None:
        tools = self._answer.use.callable
        for i, tool in enumerate(tools):
            head = self._literal(form.before_name + tool.name + form.before_arguments)
            if form.call_id:
                head = (f'{self._literal(form.before_name + tool.name + form.call_id)} /[A-Za-z0-9]{{9}}/ '
                        f'{self._literal(form.before_arguments)}')
            self._rules += [f'parameters{i}: {_json(tool.parameters)}',
                            f'call{i}: {head} parameters{i} {self._literal(form.after_arguments)}']
        self._rules.append(f'call: {" | ".join(f"call{i}" for i in range(len(tools)))}')
        more = ''
        if form.between is not None and self._answer.use.parallel:
            more = f'({self._literal(form.between)} call){{0,{MAX_CALLS - 1}}}'
        self._rules.append(f'calls: {self._literal(form.begin.strip())} call {more} {self._literal(form.closing)}')

    @property
    def _text_is_free(self) -> bool:
        answer = self._answer
        return not (answer.use.is_required or answer.json_schema or answer.regex)

    def _plain_calls(self) -> None:
        """
        Add rules for calls without marks: `{"name": "TOOL", "arguments":` decides that the answer is a call.

        Before that it may still be text, for example other JSON. So the beginning of the first call is one lexeme for
        each tool, and lazy.
        """
        tools = self._answer.use.callable
        begin, middle = (r'[ \n]*'.join(parts) for parts in (
            (r'\{', '"name"', ':', '"'), ('"', ',', '"arguments"', ':')))
        self._rules += [r'PLAIN_NEXT: /[ \n]{0,2}(```)?,?[ \n]{0,2}(```(json)?)?[ \n]{0,2}' + f'{begin}/',
                        f'PLAIN_ARGUMENTS: /{middle}/', r'PLAIN_END: /[ \n]{0,2}\]?[ \n]{0,2}(```)?[ \n]{0,2}/']
        for i, tool in enumerate(tools):
            name = re.escape(tool.name).replace('/', r'\/')
            arguments = f'SPACE parameters{i} SPACE "}}"'
            self._rules += [rf'plain_first{i}[lazy]: /[ \n]*(```(json)?[ \n]*)?(\[[ \n]*)?{begin}{name}{middle}/',
                            f'first{i}: plain_first{i} {arguments}',
                            f'next{i}: PLAIN_NEXT {json.dumps(tool.name)} PLAIN_ARGUMENTS {arguments}']
        first, following = (' | '.join(f'{rule}{i}' for i in range(len(tools))) for rule in ('first', 'next'))
        more = f'({following}){{0,{MAX_CALLS - 1}}}' if self._answer.use.parallel else ''
        self._rules.append(f'plain_calls: ({first}) {more} PLAIN_END')

    def _until(self, rule: str, mark: str) -> None:
        """Add a rule for text up to the end of the first mark."""
        self._rules.append(f'{rule}_spelt[lazy]: TEXT {json.dumps(mark)}')
        ways = f'{rule}_spelt'
        if mark in self._control:
            ways += f' | TEXT <[{self._control[mark]}]>'
        self._rules.append(f'{rule}: {ways}')

    def _literal(self, text: str) -> str:
        """Return a text in the syntax of rules: literals, and control tokens by id."""
        parts = []
        at = 0
        for match in self._marks.finditer(text):
            parts += [json.dumps(text[at:match.start()]), f'<[{self._control[match[0]]}]>']
            at = match.end()
        return ' '.join(part for part in (*parts, json.dumps(text[at:])) if part != '""')


def _json(schema: str) -> str:
    return f'%json {json.dumps({**json.loads(rewrite(schema)), "x-guidance": JSON_STYLE})}'


def _slashed(regex: str) -> str:
    """Return a regular expression escaped for the syntax /…/."""
    return re.sub(r'\\.|/|\n', lambda match: {'/': r'\/', '\n': r'\n'}.get(match[0], match[0]), regex, flags=re.DOTALL)
