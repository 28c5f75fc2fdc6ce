# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Prepares tools, calls and results of a dialogue for a chat template.

Most templates write tools, calls and results themselves; some write only tools, some none of them. This module writes
the rest into the messages, in the template's own format or in a general one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import hashlib
import json
import re
from typing import Any

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.text.tool_calls.formats import format_of_template, FORMATS, general_format, tool_format, ToolFormat
from tinychat_core.text.tool_calls.tools import check_arguments

Message = dict[str, Any]
# render(messages, tools) → text; raises InvalidParameterError if the template refuses them.
Render = Callable[[Sequence[Message], Sequence[Mapping[str, Any]] | None], str]

_PROBE = {'probe_key': 'probe value'}
_TOOL: dict[str, Any] = {'type': 'function', 'function': {
    'name': 'probe_tool', 'description': 'A probe.',
    'parameters': {'type': 'object', 'properties': {'probe_key': {'type': 'string', 'description': 'A probe.'}},
                   'required': ['probe_key']}}}
_ID = 'probe0123'
_GENERAL = """\
You may call these functions:

{tools}

To call a function, write a call in exactly this form, and nothing after it:
{call}
The result comes in the next message. Call a function only where the question needs it, with its parameters alone.\
"""


@dataclass(frozen=True)
class _Manner:
    """
    What a template does with tools.

    `arguments_as_text`: it needs the arguments of a call as JSON text, otherwise as an object. `empty`: the content
    that it accepts in a message with calls only.
    """

    writes_tools: bool
    writes_calls: bool
    writes_results: bool
    arguments_as_text: bool = False
    empty: str | None = ''


class ToolPrompting:
    """Writes tools for one chat template; the template is examined when this is first needed."""

    def __init__(self, template: str, render: Render) -> None:
        """Take the source of a template, and the function that renders it."""
        self._source = template
        self._render = render
        self._manner: _Manner | None = None
        self._chosen = ''

    def choose(self, name: str) -> None:
        """Set the format of calls by its name; '': the format of the template."""
        if name:
            tool_format(name)
        self._chosen = name

    @property
    def writes_tools(self) -> bool:
        """Whether the template supports tools."""
        return self._look().writes_tools

    @property
    def form(self) -> ToolFormat:
        """The format of calls; InvalidParameterError if the template supports tools in an unknown format."""
        if self._chosen:
            return tool_format(self._chosen)
        manner = self._look()
        form = format_of_template(self._source) if manner.writes_tools or manner.writes_calls else None
        if form is None and not manner.writes_tools:
            return general_format(self._source)
        if form is None:
            raise InvalidParameterError('the chat template writes tool calls in a format that is not known here; '
                                        f"choose one of {', '.join(FORMATS)}")
        return form

    def prepare(self, dialogue: Sequence[Message],
                tools: Sequence[Mapping[str, Any]]) -> tuple[list[Message], Sequence[Mapping[str, Any]] | None]:
        """
        Return messages and tools for the template.

        Messages have `role` and `content`. An assistant's may have `thoughts` and `tool_calls` ({'id', 'name',
        'arguments'}; the arguments are JSON text); a tool's has `tool_call_id`. Raises InvalidParameterError for a
        result without a call, calls without results, and arguments that are not a JSON object.
        """
        messages = _matched(dialogue)
        has_tools = bool(tools) or any(message['role'] == 'tool' or 'tool_calls' in message for message in messages)
        if not has_tools:
            return [self._plain(message) for message in messages], None
        manner, form = self._look(), self.form
        written = [self._message(message, manner, form) for message in messages]
        if not manner.writes_results:
            written = _joined_results(written, form)
        if tools and not manner.writes_tools:
            written = _with_system(written, _general_text(form, tools))
        return written, tools if tools and manner.writes_tools else None

    def _message(self, message: Message, manner: _Manner, form: ToolFormat) -> Message:
        plain = self._plain(message)
        if message['role'] == 'tool':
            plain['tool_call_id'], plain['name'] = _id(message['tool_call_id'], form), message['name']
        calls = message.get('tool_calls')
        if not calls:
            return plain
        if not manner.writes_calls:
            text = form.written([(call['name'], call['arguments'] or '{}') for call in calls])
            return {**plain, 'content': f"{plain['content']}\n{text}" if plain['content'] else text}
        plain['tool_calls'] = [{'id': _id(call['id'], form), 'type': 'function', 'function': {
            'name': call['name'], 'arguments': _arguments(call, manner.arguments_as_text)}} for call in calls]
        return {**plain, 'content': plain['content'] or manner.empty}

    @staticmethod
    def _plain(message: Message) -> Message:
        plain = {'role': message['role'], 'content': message['content']}
        if message.get('images'):
            plain['images'] = [image.marker for image in message['images']]
        if message.get('thoughts'):
            plain['reasoning_content'] = message['thoughts']
        return plain

    def _look(self) -> _Manner:
        """Try the template with a tool, a call and a result, and return what it does with them."""
        if self._manner is None:
            question = {'role': 'user', 'content': 'a question'}
            writes_tools = 'probe_tool' in self._try([question], [_TOOL])
            self._manner = _Manner(writes_tools, False, False)
            for as_text in (False, True):
                for empty in (None, ''):
                    text = self._try([question, _call(as_text, empty), _RESULT], [_TOOL])
                    found = re.search('"probe_key":"probevalue"', ''.join(text.split()))
                    if found and not self._manner.writes_calls:
                        self._manner = _Manner(writes_tools, True, 'probe result' in text, as_text, empty)
            if not self._manner.writes_calls:
                spoken = {'role': 'assistant', 'content': 'an answer'}
                text = self._try([question, spoken, _RESULT], [_TOOL] if writes_tools else None)
                self._manner = _Manner(writes_tools, False, 'probe result' in text)
        return self._manner

    def _try(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None) -> str:
        try:
            return self._render(messages, tools)
        except InvalidParameterError:
            return ''


_RESULT = {'role': 'tool', 'content': 'probe result', 'tool_call_id': _ID, 'name': 'probe_tool'}


def _call(as_text: bool, empty: str | None) -> Message:
    arguments = json.dumps(_PROBE) if as_text else _PROBE
    return {'role': 'assistant', 'content': empty, 'tool_calls': [
        {'id': _ID, 'type': 'function', 'function': {'name': 'probe_tool', 'arguments': arguments}}]}


def _matched(dialogue: Sequence[Message]) -> list[Message]:
    """Return the messages; each result gets the id and the name of its call."""
    open_calls: dict[str, str] = {}
    messages = []
    for i, message in enumerate(dialogue):
        if message['role'] == 'tool':
            call_id = message.get('tool_call_id') or ''
            if not call_id and len(open_calls) == 1:
                (call_id,) = open_calls
            if call_id not in open_calls:
                raise InvalidParameterError(f'messages[{i}].tool_call_id: no call before it has the id '
                                            f'{shown(call_id)} and still waits for its result')
            message = {**message, 'tool_call_id': call_id, 'name': open_calls.pop(call_id)}
        elif open_calls:
            break
        for call in message.get('tool_calls') or ():
            if call['id'] in open_calls:
                raise InvalidParameterError(f"messages[{i}].tool_calls: two calls have the id {shown(call['id'])}")
            check_arguments(call['arguments'], f'messages[{i}].tool_calls: the arguments of {shown(call["name"])}')
            open_calls[call['id']] = call['name']
        messages.append(message)
    if open_calls:
        raise InvalidParameterError(f'messages[{len(messages)}]: a tool message has to follow, with the result of the '
                                    f'call {shown(next(iter(open_calls)))}')
    return messages


def _arguments(call: Mapping[str, str], as_text: bool) -> Any:
    return call['arguments'] or '{}' if as_text else json.loads(call['arguments'] or '{}')


def _id(call_id: str, form: ToolFormat) -> str:
    """Return the id of a call for the template: Mistral's templates accept only 9 letters and digits."""
    if not form.name.startswith('mistral') or re.fullmatch('[A-Za-z0-9]{9}', call_id):
        return call_id
    return hashlib.sha256(call_id.encode(errors='surrogatepass')).hexdigest()[:9]


def _joined_results(messages: Sequence[Message], form: ToolFormat) -> list[Message]:
    """Return the messages; consecutive results are joined to one message of the user."""
    joined: list[Message] = []
    was_result = False
    for message in messages:
        is_result = message['role'] == 'tool'
        if is_result:
            text = f"{form.result_begin}{message['content']}{form.result_end}"
            if was_result:
                joined[-1] = {**joined[-1], 'content': f"{joined[-1]['content']}\n{text}"}
            else:
                joined.append({'role': 'user', 'content': text})
        else:
            joined.append(message)
        was_result = is_result
    return joined


def _general_text(form: ToolFormat, tools: Sequence[Mapping[str, Any]]) -> str:
    """Return the description of the tools for the system prompt, if the template does not support tools."""
    functions = '\n'.join(json.dumps(tool['function'], ensure_ascii=False) for tool in tools)
    return _GENERAL.format(tools=functions, call=form.written([('FUNCTION', '{"PARAMETER": VALUE}')]))


def _with_system(messages: list[Message], text: str) -> list[Message]:
    if messages and messages[0]['role'] == 'system':
        return [{**messages[0], 'content': f"{messages[0]['content']}\n\n{text}"}, *messages[1:]]
    return [{'role': 'system', 'content': text}, *messages]
