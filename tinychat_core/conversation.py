# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Turns of a dialogue: what the model has read and written is neither tokenized nor computed again."""
from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from tinychat_core._tinychat import CancelFlag
from tinychat_core.generation import Decoder, Generation
from tinychat_core.prefix_cache import CachePool
from tinychat_core.sampling import SamplingParams


@dataclass(frozen=True)
class Turn:
    """
    A question and what was answered.

    `ids` are the tokens of `text` as they were drawn, `lead` those between the answer before and this one; None where
    the template writes the answer before in another way once it is past.
    """

    question: str
    text: str
    lead: array[int] | None
    ids: array[int]  # 4 bytes each, where Python's own numbers take 36


class Conversation:
    """
    A system prompt and turns; one question at a time.

    The chat template decides how turns follow each other, the model how its answers are spelt in tokens. Only where a
    template rewrites an answer (some leave out a train of thought) it is tokenized anew.

    When the context is full, the oldest turns are left out until the prompt takes no more than half of it: the rest
    must then be computed again, and should not at every question from then on. The system prompt stays. Room for the
    answer is kept free: max_new_tokens, but no more than a quarter of the context.
    """

    def __init__(self, engine: Decoder, system_prompt: str = '', pool: CachePool | None = None) -> None:
        """
        Begin without turns; '' is the template's own system prompt, if it has one.

        Without a `pool` to share with other conversations it has a cache of its own. One that loses its cache to
        another conversation keeps its turns.
        """
        self._engine = engine
        self._pool = pool or CachePool(engine, 1)
        self._system_prompt = system_prompt
        self._turns: list[Turn] = []
        self._ids: Sequence[int] | None = []  # up to the end of the last turn; None: to be made again
        self._prompt: list[int] = []
        self._asked = ''
        self._lead: array[int] | None = None
        self._answer: Generation | None = None
        self.dropped_turns = 0

    @property
    def system_prompt(self) -> str:
        """What all turns are read under; a new one holds from the next question on."""
        return self._system_prompt

    @system_prompt.setter
    def system_prompt(self, text: str) -> None:
        if text != self._system_prompt:
            self.settle()
            self._system_prompt = text
            self._ids = None

    def ask(self, question: str, params: SamplingParams, cancel: CancelFlag | None = None) -> Generation:
        """
        Return the answer to the next question; the one before must not be asked for more tokens.

        What that one has given until now is its turn, however it ended; where it gave nothing, it leaves none.
        `dropped_turns` then tells how many have been left out so far. Raises like Engine.generate, and then the
        question leaves no trace.
        """
        self.settle()
        tokens, dropped = self._fitting(question, params)
        answer = self._pool.answer(self, tokens, params, cancel)
        if dropped:
            del self._turns[:dropped]
            self.dropped_turns += dropped
        self._prompt, self._asked, self._answer = tokens, question, answer
        return answer

    def close(self) -> None:
        """Give the cache back to the pool; nothing can be asked any more."""
        self._pool.release(self)

    def settle(self) -> None:
        """Make a turn of the last answer, which must not be asked for more tokens, and let go of what it keeps."""
        answer, self._answer = self._answer, None
        prompt, self._prompt = self._prompt, []
        if answer is None or not answer.text:
            return
        turn = Turn(self._asked, answer.text, self._lead, _ids_of_text(answer, self._engine))
        self._turns.append(turn)
        self._ids = array('i', [*prompt, *turn.ids])

    @property
    def nbytes(self) -> int:
        """Bytes that its turns take, by and large."""
        numbers = sum(len(turn.ids) + len(turn.lead or ()) for turn in self._turns) + len(self._ids or ())
        return 4 * (numbers + sum(len(turn.question) + len(turn.text) for turn in self._turns))

    def _fitting(self, question: str, params: SamplingParams) -> tuple[list[int], int]:
        """Return the prompt's tokens and how many of the oldest turns they leave out."""
        context = self._engine.context_length
        room = min(params.max_new_tokens, context // 4)
        ids = self._joined(self._turns) if self._ids is None else self._ids
        tokens = self._follow(ids, self._turns, question)
        dropped = 0
        if len(tokens) + room > context:
            dropped = self._needless(question, context // 2)
            turns = self._turns[dropped:]
            tokens = self._follow(self._joined(turns), turns, question)
        return tokens, dropped

    def _needless(self, question: str, most: int) -> int:
        """Return how many of the oldest turns have to go for a prompt of at most `most` tokens, or all."""
        fewest, enough = 1, len(self._turns)
        while fewest < enough:
            middle = (fewest + enough) // 2
            if len(self._engine.tokenizer.encode_chat(self._messages(self._turns[middle:], question))) <= most:
                enough = middle
            else:
                fewest = middle + 1
        return enough

    def _joined(self, turns: Sequence[Turn]) -> Sequence[int] | None:
        """Return the tokens up to the end of these turns, answers as drawn; None where the template forbids."""
        if not turns:
            return []
        ids = array('i', self._engine.tokenizer.encode_chat(self._messages((), turns[0].question)))
        ids += turns[0].ids
        for turn in turns[1:]:
            if turn.lead is None:
                return None
            ids += turn.lead
            ids += turn.ids
        return ids

    def _follow(self, ids: Sequence[int] | None, turns: Sequence[Turn], question: str) -> list[int]:
        """Return the tokens of a question, where `ids` are those up to the end of the turns before."""
        messages = self._messages(turns, question)
        tokenizer = self._engine.tokenizer
        between = tokenizer.encode_after_answer(messages) if turns and ids is not None else None
        self._lead = None if between is None else array('i', between)
        return tokenizer.encode_chat(messages) if between is None or ids is None else [*ids, *between]

    def _messages(self, turns: Sequence[Turn], question: str) -> list[dict[str, str]]:
        messages = [{'role': 'system', 'content': self._system_prompt}] if self._system_prompt else []
        for turn in turns:
            messages += [{'role': 'user', 'content': turn.question}, {'role': 'assistant', 'content': turn.text}]
        return [*messages, {'role': 'user', 'content': question}]


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
