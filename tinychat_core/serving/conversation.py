# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Turns of a dialogue: what the model has read and written is neither tokenized nor computed again."""
from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinychat_core._tinychat import CancelFlag
from tinychat_core.generation import Decoder, Generation
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.kv_cache_pool import KVCachePool
from tinychat_core.serving.prompt_size import check_size
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.parser import AnswerParser


@dataclass(frozen=True)
class Turn:
    """
    A question and what was answered.

    `ids` are the tokens of `text` as they were drawn, `lead` those between the answer before and this one; None where
    the template writes the answer before in another way once it is past. `is_rewritten`: it was drawn with a
    thought, or where the prompt switched thinking, and the template may write it without.
    """

    question: str
    text: str
    lead: array[int] | None
    ids: array[int]  # 4 bytes each, where Python's own numbers take 36
    is_rewritten: bool = False


@dataclass(frozen=True)
class Question:
    """The next question, as the tokens of the whole prompt; `dropped`: how many of the oldest turns it leaves out."""

    text: str
    system_prompt: str
    tokens: Sequence[int]
    lead: array[int] | None  # as a Turn's
    dropped: int = 0
    thinking: bool | None = None


class Conversation:
    """
    A system prompt and turns; one question at a time.

    The chat template decides how turns follow each other, the model how its answers are spelt in tokens. Only where a
    template rewrites an answer (some leave out a train of thought) it is tokenized anew.

    When the context is full, the oldest turns are left out until the prompt takes no more than half of it: the rest
    must then be computed again, and should not at every question from then on. The system prompt stays. Room for the
    answer is kept free: max_new_tokens, but no more than a quarter of the context.
    """

    def __init__(self, engine: Decoder, system_prompt: str, pool: KVCachePool) -> None:
        """
        Begin without turns; '' is the template's own system prompt, if it has one.

        A conversation that loses its cache to another owner in the `pool` keeps its turns.
        """
        self._engine = engine
        self._pool = pool
        self._system_prompt = system_prompt
        self._turns: list[Turn] = []
        self._ids: Sequence[int] | None = []  # up to the end of the last turn; None: to be made again
        self._asked: Question | None = None
        self._answer: Generation | None = None
        self._parts: AnswerParts | None = None
        self.dropped_turns = 0

    def prepare(self, text: str, params: SamplingParams, system_prompt: str | None = None,
                cancel: CancelFlag | None = None, thinking: bool | None = None) -> Question:
        """
        Return the next question, ready to be asked; nothing of the conversation is changed.

        `system_prompt` None: as before; another one holds for all turns from now on, once the question is asked.
        `thinking`: as Tokenizer.encode_chat's. Raises like Engine.generate, and Canceled.
        """
        system = self._system_prompt if system_prompt is None else system_prompt
        check_size((system, text), self._engine, cancel)
        turns, context = self._turns, self._engine.context_length
        ids = self._ids if system == self._system_prompt else None
        question = self._following(self._joined(turns, system) if ids is None else ids, turns, system, text, thinking)
        if len(question.tokens) + min(params.max_new_tokens, context // 4) > context:
            dropped = self._needless(system, text, context // 2)
            turns = turns[dropped:]
            question = replace(self._following(self._joined(turns, system), turns, system, text, thinking),
                               dropped=dropped)
        return question

    def start(self, question: Question, params: SamplingParams, cancel: CancelFlag | None = None,
              parts: AnswerParts | None = None) -> Generation:
        """
        Return the answer to a question that `prepare` returned, nothing having been asked in between.

        The answer before must be settled. `parts`: as Generation's; of the answer only its text is kept.
        `dropped_turns` then tells how many turns have been left out so far. Raises like Engine.generate, and then the
        question leaves no trace.
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
        """Give the cache back to the pool; nothing can be asked any more."""
        self._pool.release(self)

    def settle(self) -> None:
        """
        Make a turn of the last answer, which must not be asked for more tokens, and let go of what it keeps.

        What it has given until now is its turn, however it ended; where it gave nothing, it leaves none.
        """
        self._pool.settle(self)
        answer, self._answer = self._answer, None
        asked, self._asked = self._asked, None
        if answer is None or asked is None:
            return
        parser = AnswerParser(self._parts or AnswerParts())
        parser.push(answer.text)
        parser.finish()
        if not parser.text:
            return
        is_rewritten = bool(parser.thoughts) or asked.thinking is not None
        turn = Turn(asked.text, parser.text, asked.lead, _ids_of_text(answer, self._engine), is_rewritten)
        self._turns = [*self._turns, turn]
        self._ids = None if is_rewritten else array('i', [*asked.tokens, *turn.ids])

    @property
    def nbytes(self) -> int:
        """Bytes that its turns take, by and large."""
        numbers = sum(len(turn.ids) + len(turn.lead or ()) for turn in self._turns) + len(self._ids or ())
        return 4 * (numbers + sum(len(turn.question) + len(turn.text) for turn in self._turns))

    def _needless(self, system: str, text: str, most: int) -> int:
        """Return how many of the oldest turns have to go for a prompt of at most `most` tokens, or all."""
        fewest, enough = 1, len(self._turns)
        while fewest < enough:
            middle = (fewest + enough) // 2
            messages = _messages(system, self._turns[middle:], text)
            if len(self._engine.tokenizer.encode_chat(messages)) <= most:
                enough = middle
            else:
                fewest = middle + 1
        return enough

    def _joined(self, turns: Sequence[Turn], system: str) -> Sequence[int] | None:
        """Return the tokens up to the end of these turns, answers as drawn; None where the template forbids."""
        if not turns:
            return ()
        if any(turn.is_rewritten for turn in turns):
            return None
        ids = array('i', self._engine.tokenizer.encode_chat(_messages(system, (), turns[0].question)))
        ids += turns[0].ids
        for turn in turns[1:]:
            if turn.lead is None:
                return None
            ids += turn.lead
            ids += turn.ids
        return ids

    def _following(self, ids: Sequence[int] | None, turns: Sequence[Turn], system: str, text: str,
                   thinking: bool | None) -> Question:
        """Return a question after these turns, where `ids` are the tokens up to their end."""
        messages = _messages(system, turns, text)
        tokenizer = self._engine.tokenizer
        lead = tokenizer.encode_after_answer(messages) if turns and ids is not None and thinking is None else None
        if lead is None or ids is None:
            return Question(text, system, tokenizer.encode_chat(messages, thinking=thinking), None, thinking=thinking)
        return Question(text, system, [*ids, *lead], array('i', lead))


def _messages(system: str, turns: Sequence[Turn], text: str) -> list[dict[str, str]]:
    messages = [{'role': 'system', 'content': system}] if system else []
    for turn in turns:
        messages += [{'role': 'user', 'content': turn.question}, {'role': 'assistant', 'content': turn.text}]
    return [*messages, {'role': 'user', 'content': text}]


def _ids_of_text(answer: Generation, engine: Decoder) -> array[int]:
    """Return the ids that an answer's text was drawn as; other ones only where a stop text cut it within a token."""
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
