# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The turns of a dialogue, kept as tokens: they are neither tokenized nor computed again for the next question."""
from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tinychat_core._tinychat import CancelFlag
from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.generation import Decoder, Generation
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.kv_cache_pool import KVCachePool
from tinychat_core.serving.prompt_size import check_size
from tinychat_core.text.messages import texts_of
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.parser import AnswerParser
from tinychat_core.text.tool_calls.tools import NO_TOOLS, ToolCall, ToolUse
from tinychat_core.vision.image_rows import ImageRows

Messages = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Turn:
    """
    A question, or the results of tool calls, and the answer to it.

    `asked`: messages of role user, maybe with `images` (ImageRows, held by the turn), or of role tool. `text`, `calls`:
    the answer. `ids` are the tokens of `text` as the sampler drew them, `lead` those between the previous answer and
    this one. `lead` is None if the template rewrites the previous answer once a question follows it. `is_rewritten`:
    the template may write this answer differently, because it began with a thought, the prompt switched thinking, or
    there were tools.
    """

    asked: Messages
    text: str
    lead: array[int] | None
    ids: array[int]  # 4 bytes each; a Python int in a list takes 36
    is_rewritten: bool = False
    calls: tuple[ToolCall, ...] = ()

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        """The turn as messages for Tokenizer.encode_chat."""
        answer: dict[str, Any] = {'role': 'assistant', 'content': self.text}
        if self.calls:
            answer['tool_calls'] = [{'id': call.id, 'name': call.name, 'arguments': call.arguments}
                                    for call in self.calls]
        return [*self.asked, answer]


@dataclass(frozen=True)
class Question:
    """The next question, as the tokens of the whole prompt, which leaves out the `dropped` oldest turns."""

    asked: Messages
    system_prompt: str
    tokens: Sequence[int]
    lead: array[int] | None  # as in Turn
    dropped: int = 0
    thinking: bool | None = None
    tools: ToolUse = NO_TOOLS


class Conversation:
    """
    A system prompt and turns; one question at a time.

    The chat template writes the text between the turns. Answers keep the tokens that the model generated; only an
    answer that the template rewrites (some remove thoughts) is tokenized again.

    When the context is full, the oldest turns are left out until the prompt takes at most half of it. The model must
    then read the prompt again, and half of the context keeps this rare. The system prompt is never left out. Room for
    the answer is reserved: max_new_tokens, but at most a quarter of the context.
    """

    def __init__(self, engine: Decoder, system_prompt: str, pool: KVCachePool) -> None:
        """
        Start without turns; an empty `system_prompt` means the template's own, if it has one.

        A conversation that loses its cache to another owner in the `pool` keeps its turns.
        """
        self._engine = engine
        self._pool = pool
        self._system_prompt = system_prompt
        self._turns: list[Turn] = []
        self._ids: Sequence[int] | None = []  # up to the end of the last turn; None: not known, tokenize again
        self._asked: Question | None = None
        self._answer: Generation | None = None
        self._parts: AnswerParts | None = None
        self.dropped_turns = 0

    def prepare(self, text: str, params: SamplingParams, system_prompt: str | None = None,
                cancel: CancelFlag | None = None, thinking: bool | None = None, tools: ToolUse = NO_TOOLS,
                results: Sequence[Mapping[str, Any]] = (), images: Sequence[ImageRows] = ()) -> Question:
        """
        Return the next question for `start`, without changing the conversation.

        `system_prompt` None: as before; a new one applies to all turns as soon as `start` gets the question.
        `thinking`, `tools`: as in Tokenizer.encode_chat. `results`: messages of role tool, in place of a text: the
        results of the calls of the last answer. `images`: shown before the text. Raises like Engine.generate, and
        Canceled.
        """
        system = self._system_prompt if system_prompt is None else system_prompt
        asked = _asked(text, results, images)
        check_size((system, *texts_of(asked)), self._engine, cancel)
        self._check_results(results)
        turns, context = self._turns, self._engine.context_length
        ids = self._ids if system == self._system_prompt else None
        new = Question(asked, system, (), None, thinking=thinking, tools=tools)
        question = self._following(self._joined(turns, system) if ids is None else ids, turns, new)
        if len(question.tokens) + min(params.max_new_tokens, context // 4) > context:
            dropped = self._needless(new, context // 2)
            turns = turns[dropped:]
            question = replace(self._following(self._joined(turns, system), turns, new), dropped=dropped)
        return question

    def start(self, question: Question, params: SamplingParams, cancel: CancelFlag | None = None,
              parts: AnswerParts | None = None) -> Generation:
        """
        Return the answer to a question from `prepare`; no other question may be started between the two calls.

        Call `settle` for the previous answer first. `parts`: as in Generation; the turn keeps only the text of the
        answer. Afterwards `dropped_turns` is the number of turns left out so far. Raises like Engine.generate; the
        conversation is then unchanged.
        """
        answer = self._pool.generate(self, question.tokens, params, cancel, parts=parts)
        if question.dropped or question.system_prompt != self._system_prompt:
            self._ids = None
        self._system_prompt = question.system_prompt
        self._turns = self._turns[question.dropped:]
        self.dropped_turns += question.dropped
        self._asked, self._answer, self._parts = question, answer, parts
        return answer

    def close(self) -> None:
        """Return the cache to the pool; the conversation must not be used afterwards."""
        self._pool.release(self)

    def settle(self, calls: Sequence[ToolCall] = ()) -> None:
        """
        Turn the last answer into a turn and release its memory; take no more tokens from it.

        Its text so far and its `calls` become the turn, however it ended; without any there is no turn.
        """
        self._pool.settle(self)
        answer, self._answer = self._answer, None
        asked, self._asked = self._asked, None
        if answer is None or asked is None:
            return
        parser = AnswerParser(self._parts or AnswerParts())
        parser.push(answer.text)
        parser.finish()
        if not parser.text and not calls:
            return
        is_rewritten = bool(parser.thoughts) or asked.thinking is not None or bool(asked.tools.tools)
        is_rewritten |= asked.asked[0]['role'] == 'tool'
        turn = Turn(asked.asked, parser.text, asked.lead, _ids_of_text(answer, self._engine), is_rewritten,
                    tuple(calls))
        self._turns = [*self._turns, turn]
        self._ids = None if is_rewritten else array('q', [*asked.tokens, *turn.ids])

    def dialogue(self, text: str, system_prompt: str | None = None,
                 results: Sequence[Mapping[str, Any]] = ()) -> list[Mapping[str, Any]]:
        """Return all messages up to the next question, for a remote model; arguments and errors as `prepare`."""
        self._check_results(results)
        system = self._system_prompt if system_prompt is None else system_prompt
        return _messages(Question(_asked(text, results), system, (), None), self._turns)

    def add_turn(self, text: str, results: Sequence[Mapping[str, Any]], answer: str, calls: Sequence[ToolCall],
                 system_prompt: str | None = None) -> None:
        """Append a turn that a remote model has answered; it is tokenized with the next question."""
        if system_prompt is not None:
            self._system_prompt = system_prompt
        turn = Turn(_asked(text, results), answer, None, array('i'), is_rewritten=True, calls=tuple(calls))
        self._turns = [*self._turns, turn]
        self._ids = None

    @property
    def nbytes(self) -> int:
        """The approximate size of its turns in bytes."""
        numbers = sum(len(turn.ids) + 2 * len(turn.lead or ()) for turn in self._turns) + 2 * len(self._ids or ())
        images = sum(image.rows.nbytes for turn in self._turns for message in turn.asked
                     for image in message.get('images', ()))
        return images + 4 * (numbers + sum(sum(map(len, texts_of(turn.messages))) for turn in self._turns))

    def _check_results(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Raise InvalidParameterError for a result that belongs to no call of the last answer."""
        calls = {call.id for call in self._turns[-1].calls} if self._turns else set()
        for i, result in enumerate(results):
            if result.get('tool_call_id') not in calls:
                raise InvalidParameterError(f'messages[{i}].tool_call_id: the last answer of the conversation has no '
                                            f'call {shown(result.get("tool_call_id") or "")}')

    def _needless(self, new: Question, most: int) -> int:
        """
        Return how many of the oldest turns to leave out for a prompt of at most `most` tokens; all if none fits.

        The first turn that is kept is no result of a call that is left out.
        """
        begins = [i for i, turn in enumerate(self._turns) if i and turn.asked[0]['role'] == 'user']
        if new.asked[0]['role'] == 'user':
            begins.append(len(self._turns))
        fewest, enough = 0, len(begins) - 1
        while fewest < enough:
            middle = (fewest + enough) // 2
            messages = _messages(new, self._turns[begins[middle]:])
            if len(self._engine.tokenizer.encode_chat(messages, tools=new.tools)) <= most:
                enough = middle
            else:
                fewest = middle + 1
        return begins[enough] if begins else 0

    def _joined(self, turns: Sequence[Turn], system: str) -> Sequence[int] | None:
        """Return the tokens up to the end of these turns, answers as drawn; None if the template rewrites an answer."""
        if not turns:
            return ()
        if any(turn.is_rewritten for turn in turns):
            return None
        first = Question(turns[0].asked, system, (), None)
        ids = array('q', self._engine.tokenizer.encode_chat(_messages(first, ())))
        ids.extend(iter(turns[0].ids))  # an array takes no array of smaller numbers
        for turn in turns[1:]:
            if turn.lead is None:
                return None
            ids.extend(turn.lead)
            ids.extend(iter(turn.ids))
        return ids

    def _following(self, ids: Sequence[int] | None, turns: Sequence[Turn], new: Question) -> Question:
        """Return a question with its tokens, after these turns; `ids`: those up to their end, None if not known."""
        messages = _messages(new, turns)
        tokenizer = self._engine.tokenizer
        is_plain = new.thinking is None and not new.tools.tools and new.asked[0]['role'] == 'user'
        lead = tokenizer.encode_after_answer(messages) if turns and ids is not None and is_plain else None
        if lead is None or ids is None:
            return replace(new, tokens=tokenizer.encode_chat(messages, tools=new.tools, thinking=new.thinking))
        return replace(new, tokens=[*ids, *lead], lead=array('q', lead))


def _asked(text: str, results: Sequence[Mapping[str, Any]], images: Sequence[ImageRows] = ()) -> Messages:
    shown_images = {'images': tuple(images)} if images else {}
    return tuple(results) or ({'role': 'user', 'content': text, **shown_images},)


def _messages(new: Question, turns: Sequence[Turn]) -> list[Mapping[str, Any]]:
    messages: list[Mapping[str, Any]] = []
    if new.system_prompt:
        messages.append({'role': 'system', 'content': new.system_prompt})
    for turn in turns:
        messages += turn.messages
    return [*messages, *new.asked]


def _ids_of_text(answer: Generation, engine: Decoder) -> array[int]:
    """Return the drawn ids of an answer's text; if a stop text cut it within a token, tokenize the text again."""
    ids = answer.ids
    if answer.finish_reason in ('length', 'canceled'):
        return array('i', ids)
    tokenizer = engine.tokenizer
    if ids[-1] in tokenizer.stop_ids:
        return array('i', ids[:-1])
    detokenizer = tokenizer.detokenizer()
    text = ''
    for count, id_ in enumerate(ids, start=1):
        text += detokenizer.push(id_)
        if text == answer.text:
            return array('i', ids[:count])
    return array('i', tokenizer.encode(answer.text, add_bos=False))
