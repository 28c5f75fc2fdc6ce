# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""An engine that says what a test wants to hear, as fast as it wants: for all that stands on an engine."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic, sleep
from typing import Any

import numpy as np

from tinychat_core._tinychat import Canceled, CancelFlag
from tinychat_core.generation import Generation
from tinychat_core.speculation.row_cost import RowCost
from tinychat_core.step import Drawn, Step
from tinychat_core.text.detokenizer import Detokenizer, Pieces, PieceTable
from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_core.text.tool_calls.formats import FORMATS
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.tools import NO_TOOLS, ToolUse

# Ids are bytes; 256 ends a turn; from FIRST_WORD on they are the engine's words.
EOS = 256
BYTES_VOCAB = 257
FIRST_WORD = 300
WORDS_VOCAB = 3000
ROLES = {'system': 1, 'user': 2, 'assistant': 3, 'tool': 4}
DECODER = {'type': 'Sequence', 'decoders': [{'type': 'Replace', 'pattern': {'String': '▁'}, 'content': ' '},
                                            {'type': 'ByteFallback'}, {'type': 'Fuse'}]}


class ScriptedTokenizer:
    """One token for each byte of a prompt; in a dialogue a turn is its role, its bytes and EOS."""

    stop_ids = control_ids = frozenset({EOS})
    stop_texts: tuple[str, ...] = ()
    knows_tools, switches_thinking = True, False
    thought_marks: ThoughtMarks | None = None

    def __init__(self, vocab_size: int = BYTES_VOCAB) -> None:
        """Begin without words or dialogues."""
        self.vocab_size = vocab_size
        self.words: list[str] = []
        self.dialogues: list[list[dict[str, Any]]] = []
        self.thinking: list[bool | None] = []
        self.control_tokens: dict[str, int] = {}

    def encode(self, text: str, add_bos: bool = True) -> list[int]:
        """Return the bytes."""
        return [*text.encode()]

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], *, tools: ToolUse = NO_TOOLS,
                    thinking: bool | None = None) -> list[int]:
        """Return role, bytes and EOS of each message, and the role of the answer."""
        self.dialogues.append([dict(message) for message in messages])
        self.thinking.append(thinking)
        return self._ids(messages)

    def answer_parts(self, prompt: Sequence[int], tools: ToolUse = NO_TOOLS, *, thinking: bool | None = None,
                     json_schema: str = '', regex: str = '') -> AnswerParts:
        """Return the parts of a model that calls as Hermes does, and thinks where there are marks."""
        is_thinking = self.thought_marks is not None and bytes(token % 256 for token in prompt).endswith(b'<think>\n')
        return AnswerParts(FORMATS['hermes'], tools, self.thought_marks, is_thinking, json_schema, regex)

    def encode_after_answer(self, messages: Sequence[Mapping[str, str]]) -> list[int] | None:
        """Return the EOS of the last answer and what follows it."""
        self.dialogues.append([dict(message) for message in messages])
        last = max(i for i, message in enumerate(messages) if message['role'] == 'assistant')
        return [EOS, *self._ids(messages[last + 1:])]

    def encode_within(self, text: str) -> list[int]:
        """Return the ids of words that are letters."""
        return [FIRST_WORD + self.words.index(letter) for letter in text]

    def detokenizer(self, keep_leading_space: bool = False) -> Any:
        """Return what turns ids to text."""
        return WordDetokenizer(self.words)

    def bytes_of(self, token: int) -> bytes:
        """Return a word or a byte."""
        if token < EOS:
            return bytes([token])
        word = token - FIRST_WORD
        return self.words[word].encode() if 0 <= word < len(self.words) else b''

    def _ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        ids = []
        for message in messages:
            ids += [ROLES[message['role']], *message['content'].encode(), EOS]
        return [*ids, ROLES['assistant']]


class WordDetokenizer:
    """Words as they are, bytes as a real tokenizer has them."""

    def __init__(self, words: list[str]) -> None:
        """Take the words."""
        self._words = words
        self._bytes = Detokenizer(Pieces(PieceTable.of(DECODER), lambda i: f'<0x{i:02X}>', {EOS}))

    def push(self, token: int) -> str:
        """Return the text that this token makes certain."""
        return self._words[token - FIRST_WORD] if token >= FIRST_WORD else self._bytes.push(token)

    def finish(self) -> str:
        """Return what was held back."""
        return self._bytes.finish()


class TokenCache:
    """A cache that remembers its tokens."""

    def __init__(self) -> None:
        """Begin empty."""
        self.tokens: list[int] = []
        self.sampler: Any = None  # of the answer that is being appended
        self.drawn = 0  # by it

    @property
    def length(self) -> int:
        """Return how many there are."""
        return len(self.tokens)

    def truncate(self, length: int) -> None:
        """Keep the first ones."""
        assert length <= len(self.tokens)
        del self.tokens[length:]


class ScriptedEngine:
    """
    Draws the tokens of `script`, one a step, over all answers.

    Without a script each answer is `words`, and then EOS, or `words` again and again if `is_endless`. A prefill takes
    `prefill_delay` seconds, each other token `delay`. Steps are counted over all answers with a script (`calls`), and
    within each answer without. Number `canceled_at` raises Canceled, `fails_at` another error; `stands_at` lasts until
    it is another number or the answer is canceled. `prefilled` notes the tokens of each prefill, and those that a new
    sampler comes with, `dialogues` what the tokenizer was given.
    """

    def __init__(self, script: Sequence[int] | None = None, context_length: int | None = None,
                 canceled_at: int | None = None) -> None:
        """Begin with a short answer and no delay."""
        self.script = script if script is None else [*script]
        self.context_length = context_length or (128 if script is None else 1000)
        self.vocab_size = WORDS_VOCAB if script is None else BYTES_VOCAB
        self.tokenizer: Any = ScriptedTokenizer(self.vocab_size)
        if script is None:
            self.words = ['Robots ', 'need ', 'maps.']
        self.canceled_at = canceled_at
        self.fails_at: int | None = None
        self.stands_at: int | None = None
        self.delay = self.prefill_delay = 0.0
        self.prefilled: list[list[int]] = []
        self.calls = 0
        self.is_closed = self.is_endless = False
        self.images: Any = None  # it sees none
        self.threads, self.path, self.family, self.precision, self.backend = 2, 'scripted', 'llama', 'W4A8', 'cpu'
        self.group_size, self.weights_bytes, self.kv_cache_bytes = 32, 300_000_000, 2000
        self.shortest_piece, self.longest_piece, self.parallel = 9, 512, 1
        self.speculates, self.row_cost, self.draft = False, RowCost(), None
        self.passes: list[int] = []  # steps of each

    @property
    def words(self) -> list[str]:
        """Return what an answer says, a token each."""
        return list(self.tokenizer.words)

    @words.setter
    def words(self, words: list[str]) -> None:
        self.tokenizer.words = words

    @property
    def dialogues(self) -> list[list[dict[str, Any]]]:
        """Return the dialogues that were to be answered."""
        return list(self.tokenizer.dialogues)

    def new_cache(self) -> Any:
        """Return an empty cache."""
        return TokenCache()

    def check_files(self) -> str:
        """Tell that there are none to worry about."""
        return ''

    def close(self) -> None:
        """Note it."""
        self.is_closed = True

    def generate(self, messages: Any, params: Any, cache: Any = None,
                 cancel: CancelFlag | None = None) -> Generation:
        """Return the answer to a dialogue."""
        return Generation(self, self.tokenizer.encode_chat(messages), params, cache, cancel)  # type: ignore[arg-type]

    def run(self, steps: Sequence[Step], cancel: CancelFlag | None = None) -> list[Drawn]:
        """Compute a pass, in which each sequence takes its time; a canceled one leaves the caches as they were."""
        self.passes.append(len(steps))
        caches: list[Any] = [step.cache for step in steps]
        before = [(cache.length, cache.sampler, cache.drawn) for cache in caches]
        try:
            return [self._drawn(step, cancel) for step in steps]
        except Canceled:
            for cache, (length, cache.sampler, cache.drawn) in zip(caches, before, strict=True):
                cache.truncate(length)
            raise

    def prefill(self, cache: Any, tokens: Sequence[int], cancel: CancelFlag | None = None) -> Any:
        """Begin an answer, or read a piece of its prompt."""
        self.prefilled.append([*tokens])
        return self._step(cache, tokens, cancel, self.prefill_delay)

    def _drawn(self, step: Step, cancel: CancelFlag | None) -> Drawn:
        cache: Any = step.cache
        if step.sampler is None:
            self.prefilled.append([*step.tokens])
            self._wait(cancel, self.prefill_delay)
            cache.tokens += step.tokens
            return Drawn()
        is_first = step.sampler is not cache.sampler
        if is_first:
            cache.sampler, cache.drawn = step.sampler, 0
        count = len(step.tokens) - step.guesses
        masks = [step.allowed] if not step.guesses or step.allowed is None else step.allowed
        drawn: list[int] = []
        logprobs: list[Any] = []
        for i in range(step.guesses + 1):
            tokens = step.tokens[:count] if i == 0 else step.tokens[count + i - 1:count + i]
            logits = self.prefill(cache, tokens, cancel) if is_first and i == 0 else self._step(
                cache, tokens, cancel, self.delay if i == 0 else 0.0)
            drawn.append(int(step.sampler.sample(logits, masks[i] if len(masks) > 1 else masks[0])))
            logprobs.append(step.sampler.logprobs)
            if i == step.guesses or drawn[-1] != step.tokens[count + i]:
                break
            step.sampler.accept(drawn[-1])
        cache.tokens += step.tokens[count + len(drawn) - 1:]
        return Drawn(drawn, logprobs=logprobs)

    def _step(self, cache: Any, tokens: Sequence[int], cancel: CancelFlag | None, delay: float) -> Any:
        self.calls = cache.drawn if self.script is None else self.calls
        if self.calls == self.canceled_at:
            raise Canceled('canceled')
        self._wait(cancel, delay)
        if self.calls == self.fails_at:
            raise RuntimeError('the decoder broke')
        cache.tokens += tokens
        assert len(cache.tokens) <= self.context_length
        if self.script is None:
            logits = np.zeros(self.vocab_size, np.float32)
            count = len(self.tokenizer.words)
            next_word = self.calls % count if self.is_endless else self.calls
            logits[FIRST_WORD + next_word if next_word < count else EOS] = 100.0
        else:
            logits = np.ones(self.vocab_size, np.float32)
            logits[self.script[self.calls]] = 9.0
        self.calls += 1
        cache.drawn += 1
        return logits

    def _wait(self, cancel: CancelFlag | None, delay: float) -> None:
        end = monotonic() + delay
        while cancel is None or not cancel.is_set():
            if monotonic() >= end and self.calls != self.stands_at:
                return
            sleep(0.0005)
        raise Canceled('canceled')
