# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A model's own chat template, and what is done where it has no place for what a dialogue has.

A template is a program that came with a model. It runs in a process of its own (`tinychat_core.workers.template`), with
a limit of time and memory.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
import logging
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tinychat_core.errors import CheckpointError, InvalidParameterError
from tinychat_core.text.named_templates import named_template, template_of_model
from tinychat_core.text.thoughts import thinking_switch
from tinychat_core.text.tool_calls.prompting import ToolPrompting
from tinychat_core.workers.worker import Worker, WorkerFailedError

_LOG = logging.getLogger(__name__)

# CPU time for a dialogue; a template takes a few milliseconds.
SECONDS = 1.0
MEMORY = 256 << 20
_WORKER = Worker('tinychat_core.workers.template', MEMORY)
# Follows the text that an answer goes on from. Where a template strips what it is given, the space is missing.
_TAG = 'THE ANSWER GOES ON HERE '
_NONE = -1
_NO_VARIABLES: Mapping[str, Any] = MappingProxyType({})
_MOST_SHAPES = 100  # of dialogues that are not questions and answers in turn


class _TooComplexError(InvalidParameterError):
    """A template that goes beyond a limit."""


class ChatTemplate:
    """
    Renders messages to the text that the model was trained on.

    A template may refuse a system prompt (Gemma 2), or leave it out without a word: then it goes before the first
    question. What else a template leaves out is an error. An assistant's message at the end of a dialogue is continued.
    """

    def __init__(self, source: str, variables: Mapping[str, str]) -> None:
        """
        Compile the template, and see whether it has a place for a system prompt.

        `variables`: the texts of special tokens by name (`bos_token`, …), as templates use them. Raises
        CheckpointError for a template that is not valid jinja, or takes more than SECONDS or MEMORY for itself or a
        question.
        """
        self.source = source
        self._variables = dict(variables)
        self._has_place: bool | None = None  # for images
        self._left_out: dict[tuple[str, ...], int | None] = {}
        self._switch = thinking_switch(source)
        self.tools = ToolPrompting(source, lambda messages, tools: self._rendered(messages, False, tools))
        try:
            error = _WORKER.ask({'source': source}, SECONDS)[0]['error']
        except WorkerFailedError as failure:
            raise CheckpointError(f'the chat template is too complex: compiling it {failure}') from None
        if error:
            raise CheckpointError(f'the chat template is not valid jinja: {error}')
        # Some templates, of models that see images, take what a message says in parts.
        self._takes_parts = self._shows_messages = self.folds_system = False
        try:
            self._look()
        except _TooComplexError as failure:
            raise CheckpointError(str(failure)) from None

    def _look(self) -> None:
        """See what the template does with a question, and with a system prompt before it."""
        question = self._first_left_out(('user',))
        if question != _NONE:
            self._left_out.clear()
            self._takes_parts = True
            self._takes_parts = self._first_left_out(('user',)) == _NONE
            self._left_out.clear()
        self._shows_messages = question == _NONE or self._takes_parts
        if question == 0 and not self._takes_parts:
            _LOG.warning("the chat template does not write the user's message; the model cannot read it")
        self.folds_system = self._shows_messages and self._first_left_out(('system', 'user')) != _NONE
        if self.folds_system:
            _LOG.warning('the chat template has no place for a system prompt: it goes before the first question')

    @property
    def switches_thinking(self) -> bool:
        """Whether the template has a variable that switches thinking on and off."""
        return bool(self._switch)

    def render(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool,
               tools: Sequence[Mapping[str, Any]] = (), thinking: bool | None = None) -> str:
        """
        Return the text of the dialogue, with the beginning of an answer where `add_generation_prompt`.

        An assistant's message at the end is that beginning: the text ends with it, and with its spaces where the
        template keeps them. `messages`: as ToolPrompting.prepare takes them; images of a message come before its text.
        `tools`: entries of OpenAI's `tools`. `thinking`: whether the model shall think first; None: as the template has
        it. Raises InvalidParameterError where the template refuses the messages, cannot do with them, leaves one out,
        cannot switch thinking, or takes more than SECONDS or MEMORY.
        """
        dialogue, offered = self.tools.prepare([dict(message) for message in messages], tools)
        if self.folds_system:
            dialogue = _folded(dialogue)
        if thinking is None:
            return self._whole(dialogue, add_generation_prompt, offered, {})
        if self._switch:
            texts = [self._whole(dialogue, add_generation_prompt, offered, {self._switch: value})
                     for value in (thinking, not thinking)]
            if texts[0] != texts[1]:
                return texts[0]
        raise InvalidParameterError('thinking: the chat template cannot switch it on or off in this dialogue; leave it '
                                    'at its default')

    def _whole(self, dialogue: list[dict[str, Any]], add_generation_prompt: bool,
               tools: Sequence[Mapping[str, Any]] | None, variables: Mapping[str, Any]) -> str:
        """Return a dialogue's text once it is certain that no message of it is left out."""
        roles = _shape([message['role'] for message in dialogue])
        has_calls = any(message['role'] == 'tool' or 'tool_calls' in message for message in dialogue)
        left_out = self._first_left_out(roles) if self._shows_messages and not has_calls else _NONE
        if left_out is not None and left_out != _NONE:
            raise InvalidParameterError(f"the chat template drops the message of role '{roles[left_out]}' in a "
                                        f"dialogue of {', '.join(roles)}; change the dialogue")
        if add_generation_prompt and dialogue and dialogue[-1]['role'] == 'assistant':
            if dialogue[-1]['content'].strip():
                return self._continued(dialogue, tools, variables)
            dialogue = dialogue[:-1]  # an answer that has not begun
        text = self._rendered(dialogue, add_generation_prompt, tools, variables)
        missing = [message['role'] for message in dialogue if _is_missing(message, text)] if has_calls else []
        if missing == ['system']:  # Mistral Nemo has it only where a question is last
            return self._whole(_folded(dialogue), add_generation_prompt, tools, variables)
        if missing:
            raise InvalidParameterError(f"the chat template drops the message of role '{missing[0]}' in a "
                                        'dialogue with tool calls; change the dialogue')
        return text

    def _continued(self, dialogue: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]] | None,
                   variables: Mapping[str, Any]) -> str:
        """Return the text up to the end of the last message, as transformers does for continue_final_message."""
        last = dialogue[-1]['content']
        tag = _TAG
        while any(tag.strip() in (message['content'] or '') for message in dialogue):
            tag = f'_{tag}'
        text = self._rendered([*dialogue[:-1], {**dialogue[-1], 'content': last + tag}], False, tools,
                              variables)
        before, found, _ = text.rpartition(tag.strip())
        if not found or last.strip() not in before:
            raise InvalidParameterError('the chat template changes the last message, so that it cannot be continued; '
                                        'end with a user message')
        return before if text[len(before):].startswith(tag) else before.rstrip()

    def _first_left_out(self, roles: tuple[str, ...]) -> int | None:
        """Return which of messages of these roles the template does not show, _NONE for none; None: it refuses them."""
        if roles not in self._left_out:
            contents = [f'content{i}of{role}' for i, role in enumerate(roles)]
            messages = [{'role': role, 'content': content} for role, content in zip(roles, contents, strict=True)]
            if len(self._left_out) == _MOST_SHAPES:
                self._left_out.clear()
            try:
                text = self._rendered(messages, False)
                self._left_out[roles] = next((i for i, content in enumerate(contents) if content not in text), _NONE)
            except _TooComplexError:
                raise
            except InvalidParameterError:
                self._left_out[roles] = None
        return self._left_out[roles]

    def _in_parts(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return a message whose content is a list: its images, then its text.

        If the template has no place for images, their markers are lines before the text, as in the models' training
        data.
        """
        plain = {name: value for name, value in message.items() if name != 'images'}
        images, text = message.get('images', ()), message['content'] or ''
        if images and not self._shows_images():
            text = ''.join(f'{marker}\n' for marker in images) + text
            if not self._takes_parts:
                return {**plain, 'content': text}
            images = ()
        return {**plain, 'content': [*({'type': 'image'} for _ in images), {'type': 'text', 'text': text}]}

    def _shows_images(self) -> bool:
        """Return whether the template reads content in parts, and writes something for a part that is an image."""
        if self._has_place is None:
            text = {'type': 'text', 'text': 'what?'}
            contents: list[Any] = [[{'type': 'image'}, text], [text]]
            try:
                texts = [self._asked([{'role': 'user', 'content': content}], True) for content in contents]
                self._has_place = texts[0] != texts[1] and (self._takes_parts or texts[1] == self._asked(
                    [{'role': 'user', 'content': 'what?'}], True))
            except _TooComplexError:
                raise
            except InvalidParameterError:
                self._has_place = False
        return self._has_place

    def _rendered(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool,
                  tools: Sequence[Mapping[str, Any]] | None = None,
                  variables: Mapping[str, Any] = _NO_VARIABLES) -> str:
        messages = [self._in_parts(message) if self._takes_parts or 'images' in message else message
                    for message in messages]
        return self._asked(messages, add_generation_prompt, tools, variables)

    def _asked(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool,
               tools: Sequence[Mapping[str, Any]] | None = None,
               variables: Mapping[str, Any] = _NO_VARIABLES) -> str:
        """Return the template's output for exactly these messages."""
        # SmolLM3 asks for calls as XML marks around JSON by the name of the variable.
        known = {'messages': messages, 'tools': tools, 'xml_tools': tools, 'documents': None,
                 'add_generation_prompt': add_generation_prompt, **self._variables, **variables}
        try:
            reply, _ = _WORKER.ask({'source': self.source, 'variables': known}, SECONDS)
        except WorkerFailedError as failure:
            raise _TooComplexError(f'the chat template is too complex for these messages: it {failure}') from None
        if reply['error']:
            raise InvalidParameterError(f"the chat template refuses these messages: {reply['error']}")
        return str(reply['text'])


def _is_missing(message: Mapping[str, Any], text: str) -> bool:
    """Return whether a dialogue's text lacks what a message says; beside a call some templates leave it out."""
    said = (message['content'] or '').strip()
    return 'tool_calls' not in message and said not in text and json.dumps(said, ensure_ascii=False) not in text


def _folded(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with each system prompt before the next question."""
    folded: list[dict[str, Any]] = []
    prompts: list[str] = []
    for message in messages:
        if message['role'] == 'system':
            prompts.append(message['content'])
            continue
        if message['role'] == 'user' and prompts:
            message = {**message, 'content': '\n\n'.join([*prompts, message['content']])}
            prompts = []
        folded.append(message)
    if prompts:
        raise InvalidParameterError('the chat template has no place for a system prompt, and no user message follows '
                                    'that could begin with it')
    return folded


def _shape(roles: Sequence[str]) -> tuple[str, ...]:
    """Return the roles, of questions and answers in turn only so many as make a difference."""
    begin = 1 if roles[:1] == ['system'] else 0
    turns = roles[begin:]
    regular = all(role == ('user', 'assistant')[i % 2] for i, role in enumerate(turns))
    return (*roles[:begin], *(turns[:2 + len(turns) % 2] if regular else turns))


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
    name = template_of_model(model_name)
    return template if isinstance(template, str) else None if name is None else named_template(name)
