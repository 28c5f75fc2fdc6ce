# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""One answer, token by token."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from tinychat_core._tinychat import Cache, Canceled, CancelFlag, Sampler
from tinychat_core.constraint import OutputConstraint
from tinychat_core.dry import breakers
from tinychat_core.errors import InvalidParameterError, PromptTooLongError
from tinychat_core.sampling import SamplingParams
from tinychat_core.text.answer_stop import AnswerStop
from tinychat_core.text.tokenizer import Tokenizer
from tinychat_core.text.tool_calls.grammar import answer_grammar, AnswerParts
from tinychat_core.vision.image_rows import ImageRows, part_end, text_ids
from tinychat_core.workers.worker import WorkerCanceledError

NO_TOKEN = -1
# A prompt is read in parts, to tell how far it is; a multiple of what the decoder does at once.
PART = 512


@dataclass(frozen=True)
class TokenLogprob:
    """
    A token and the natural logarithm of its probability, before penalties, masks and the temperature.

    `piece`: the bytes of the token, possibly a part of a character; empty for a control token. `top`: the most likely
    tokens in this place, the most likely first.
    """

    token: int
    piece: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Token:
    """
    One step of an answer.

    `text`: the characters that this step makes certain, possibly none; the texts of all steps are the answer.
    `id`: NO_TOKEN where the step only ends a canceled answer. `index`: counts the steps from 0.
    `finish_reason`: on the last step 'stop' (the model's end of answer, or a stop text), 'length'
    (max_new_tokens or the context is used up) or 'canceled'; else None. `logprob`: None unless it was asked for.
    """

    text: str
    id: int
    index: int
    finish_reason: str | None
    logprob: TokenLogprob | None = None


class Decoder(Protocol):
    """What a generation needs of an Engine; both steps raise Canceled."""

    context_length: int
    vocab_size: int

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to tokens and back."""

    def new_cache(self) -> Cache:
        """Return an empty cache."""

    def prefill(self, cache: Cache, tokens: Sequence[int], cancel: CancelFlag | None = None) -> Any:
        """Append tokens [n] to the cache."""

    def sample(self, cache: Cache, tokens: Sequence[int], sampler: Sampler, allowed: Any = None,
               cancel: CancelFlag | None = None) -> int:
        """Append tokens [n] to the cache and return the one that is drawn next."""


def check_prompt(engine: Decoder, tokens: Sequence[int], held: int = 0) -> None:
    """Raise InvalidParameterError, or PromptTooLongError behind `held` tokens of a cache, as Generation says."""
    if not tokens:
        raise InvalidParameterError('the prompt is empty')
    ids = text_ids(tokens)
    if ids and not 0 <= min(ids) <= max(ids) < engine.vocab_size:
        raise InvalidParameterError(f'a token of the prompt is outside the vocabulary of {engine.vocab_size}')
    if held + len(tokens) > engine.context_length:
        raise PromptTooLongError(f'the prompt has {held + len(tokens)} tokens, but the context has only '
                                 f'{engine.context_length}; shorten it')


class Generation(Iterator[Token]):
    """
    An iterator of Token; nothing is computed before the first `next()`, and one token at each.

    At its end, and between tokens, the cache holds what it held before, the prompt and all of `ids` but the
    last, which is only decoded when the next one is asked for. `ids` are all tokens drawn so far, the one
    that ends the answer included. `on_prefill` is told the fraction of a long prompt that has been read.
    """

    def __init__(self, engine: Decoder, tokens: Sequence[int], params: SamplingParams,
                 cache: Cache | None = None, cancel: CancelFlag | None = None, *,
                 earlier: Sequence[int] = (), continues: bool = False, parts: AnswerParts | None = None,
                 images: Sequence[ImageRows] = ()) -> None:
        """
        Check that the prompt fits behind what the cache holds.

        `tokens`: the part of the prompt that the cache does not hold. `earlier`: the tokens that it holds,
        which only the repetition penalty and DRY look at. `continues`: the prompt ends with the beginning of the
        answer, so that a space at its start belongs to it. `parts`: what the answer may consist of, with the structure
        of `params`; None: of text alone. `images`: those whose rows are in the prompt, which are held. Raises
        InvalidParameterError for no tokens or one outside the vocabulary, PromptTooLongError where there is no room.
        """
        check_prompt(engine, tokens, 0 if cache is None else cache.length)
        self._cache = engine.new_cache() if cache is None else cache
        self.reused_tokens = self._cache.length
        self.prompt_tokens = self.reused_tokens + len(tokens)
        self.params = params
        self.seed = params.seed_or_fresh()
        self.ids: list[int] = []
        self.finish_reason: str | None = None
        self.on_prefill: Callable[[float], None] = lambda fraction: None
        self._engine = engine
        self._prompt = tokens
        self._images = images
        self._cancel = cancel
        self._limit = min(params.max_new_tokens, engine.context_length - self.prompt_tokens + 1)
        # A thought comes before a structure, and a call is one.
        grammar = ''
        if parts is not None and parts.has_grammar:
            grammar = answer_grammar(parts, engine.tokenizer.control_tokens)
        is_structured = bool(params.json_schema or params.regex or grammar)
        # A structure repeats what it must.
        has_dry = params.dry_multiplier > 0 and params.dry_penalty_last_n != 0 and not is_structured
        self._sampler = Sampler(
            self.seed, params.temperature, params.top_k, params.top_p, params.min_p, params.repetition_penalty,
            params.dry_multiplier if has_dry else 0.0, params.dry_base, params.dry_allowed_length,
            params.dry_penalty_last_n, breakers(engine.tokenizer) if has_dry else None,
            -1 if params.top_logprobs is None else params.top_logprobs)
        if has_dry or params.repetition_penalty != 1.0:
            for token in text_ids((*earlier, *tokens)):
                self._sampler.accept(token)
        self._constraint = None
        if is_structured:
            # One that is canceled meanwhile is not needed: the first step ends the answer.
            with suppress(WorkerCanceledError):
                self._constraint = OutputConstraint(params.json_schema, params.regex, engine.tokenizer,
                                                    engine.vocab_size, cancel, grammar)
        self._has_grammar = bool(grammar)
        keeps_space = continues or (self._constraint is not None and not grammar)
        self._detokenizer = engine.tokenizer.detokenizer(keep_leading_space=keeps_space)
        self._stop_ids = engine.tokenizer.stop_ids
        self._stop_text = AnswerStop(engine.tokenizer.stop_texts, params.stop, parts)
        self._texts: list[str] = []
        self._steps = 0

    @property
    def text(self) -> str:
        """The answer so far."""
        return ''.join(self._texts)

    @property
    def is_complete(self) -> bool:
        """Whether the answer has ended as it was asked for: not canceled, and the whole text matches a structure."""
        if self.finish_reason not in ('stop', 'length') or self._constraint is None:
            return self.finish_reason in ('stop', 'length')
        return self._constraint.is_accepting if self._has_grammar else self._constraint.matches(self.text)

    def __next__(self) -> Token:
        """Return the next token; whatever the engine raises ends the generation."""
        if self.finish_reason is not None:
            raise StopIteration
        if self._cancel is not None and self._cancel.is_set():
            return self._end(NO_TOKEN, '', 'canceled')
        try:
            tokens = self.ids[-1:] or self._last_of_prompt()
            mask = None if self._constraint is None else self._constraint.token_mask()
            token = self._engine.sample(self._cache, tokens, self._sampler, mask, self._cancel)
        except Canceled:
            return self._end(NO_TOKEN, '', 'canceled')
        self._sampler.accept(token)
        self.ids.append(token)
        if token in self._stop_ids:
            return self._end(token, '', 'stop')
        text = self._stop_text.push(self._detokenizer.push(token))
        if self._stop_text.is_complete or self._completes(token):
            return self._end(token, text, 'stop')
        if len(self.ids) == self._limit:
            return self._end(token, text, 'length')
        return self._token(token, text)

    def _completes(self, token: int) -> bool:
        """Return whether the structure is complete with a token; what is canceled meanwhile ends at the next one."""
        if self._constraint is None:
            return False
        with suppress(WorkerCanceledError):
            return self._constraint.accept(token)
        return False

    def _last_of_prompt(self) -> Sequence[int]:
        """Read the prompt but for its last part, and return that."""
        begin, end = 0, part_end(self._prompt, 0, PART)
        while end < len(self._prompt):
            self._engine.prefill(self._cache, self._prompt[begin:end], self._cancel)
            self.on_prefill(end / len(self._prompt))
            begin, end = end, part_end(self._prompt, end, PART)
        return self._prompt[begin:]

    def _end(self, token: int, text: str, reason: str) -> Token:
        """Return the last token, with all text that was held back."""
        self.finish_reason = reason
        text += self._stop_text.push(self._detokenizer.finish()) + self._stop_text.finish()
        return self._token(token, text)

    def _token(self, token: int, text: str) -> Token:
        self._texts.append(text)
        self._steps += 1
        return Token(text, token, self._steps - 1, self.finish_reason, self._logprob(token))

    def _logprob(self, token: int) -> TokenLogprob | None:
        """Return the log probabilities of the token that was just drawn, if they are wanted."""
        if self.params.top_logprobs is None or token == NO_TOKEN:
            return None
        piece = self._engine.tokenizer.bytes_of
        logprob, top = self._sampler.logprobs
        return TokenLogprob(token, piece(token), logprob,
                            tuple(TokenLogprob(other, piece(other), value) for other, value in top))
