# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""One answer, token by token."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from tinychat_core._tinychat import Cache, Canceled, CancelFlag, Sampler
from tinychat_core.constraint import OutputConstraint
from tinychat_core.dry import breakers
from tinychat_core.errors import BackendFailedError, InvalidParameterError, PromptTooLongError
from tinychat_core.sampling import SamplingParams
from tinychat_core.speculation.draft import Draft, DraftEngine
from tinychat_core.speculation.guesser import Guesser
from tinychat_core.speculation.row_cost import RowCost
from tinychat_core.step import Drawn, FEW_TOKENS, Step
from tinychat_core.text.answer_stop import AnswerStop
from tinychat_core.text.tokenizer import Tokenizer
from tinychat_core.text.tool_calls.grammar import answer_grammar, AnswerParts
from tinychat_core.vision.image_rows import ImageRows, part_end, text_ids
from tinychat_core.workers.worker import WorkerCanceledError

NO_TOKEN = -1
# No piece of a prompt has FEW_TOKENS tokens or fewer unless the whole prompt is that short. So the places where a
# prompt is cut do not change its numbers. Therefore the last piece may be FEW_TOKENS longer than requested.
SHORTEST_PIECE = FEW_TOKENS + 1


def piece_end(prompt: Sequence[int], begin: int, longest: int) -> int:
    """
    Return where the piece of a prompt that begins at `begin` ends: after about `longest` tokens, not within an image.

    `longest`: at least SHORTEST_PIECE.
    """
    end = part_end(prompt, begin, longest)
    if not 0 < len(prompt) - end <= FEW_TOKENS:
        return end
    shorter = part_end(prompt, begin, max(len(prompt) - begin - SHORTEST_PIECE, 1))
    return shorter if begin + FEW_TOKENS < shorter < end else len(prompt)


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
    """What a generation needs of an Engine."""

    context_length: int
    vocab_size: int
    longest_piece: int  # tokens of a prompt in one forward pass
    speculates: bool
    row_cost: RowCost

    @property
    def draft(self) -> DraftEngine | None:
        """A smaller model that guesses."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to tokens and back."""

    def new_cache(self) -> Cache:
        """Return an empty cache."""

    def run(self, steps: Sequence[Step], cancel: CancelFlag | None = None) -> Sequence[Drawn]:
        """Compute the steps of several sequences in one forward pass; raises Canceled."""


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
    An iterator of Token; nothing is computed before the first `next()`, and one forward pass at each.

    Instead of `next()`, a scheduler computes the steps of several generations together: `next_step`, then `take` with
    the sampled tokens, then `tokens`. At its end, and between tokens, the cache holds its earlier tokens, the prompt
    and all of `ids` but the last, which is only decoded when the next one is requested. `ids` are all sampled tokens,
    including the one that ends the answer. `on_prefill` is told the fraction of a long prompt that has been read.
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
            params.frequency_penalty, params.presence_penalty, dict(params.logit_bias),
            -1 if params.top_logprobs is None else params.top_logprobs)
        if has_dry or params.repetition_penalty != 1.0:
            for token in text_ids((*earlier, *tokens)):
                self._sampler.accept(token, is_prompt=True)
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
        self.accepted_tokens = 0  # of `ids`: guessed, and confirmed
        self._guesser: Guesser | None = None
        if engine.speculates:
            draft = None if engine.draft is None else Draft(engine.draft, engine.vocab_size)
            self._guesser = Guesser(text_ids((*earlier, *tokens)), engine.row_cost, draft)
        self._texts: list[str] = []
        self._logprob: TokenLogprob | None = None  # of the token that is added
        self._new: deque[Token] = deque()
        self._steps = 0

    @property
    def text(self) -> str:
        """The answer so far."""
        return ''.join(self._texts)

    @property
    def has_structure(self) -> bool:
        """Whether the answer must match a schema, an expression or a grammar."""
        return self._constraint is not None

    @property
    def is_complete(self) -> bool:
        """Whether the answer has ended as it was asked for: not canceled, and the whole text matches a structure."""
        if self.finish_reason not in ('stop', 'length') or self._constraint is None:
            return self.finish_reason in ('stop', 'length')
        return self._constraint.is_accepting if self._has_grammar else self._constraint.matches(self.text)

    def __next__(self) -> Token:
        """Return the next token; whatever the engine raises ends the generation."""
        while not self._new:
            if self.finish_reason is not None:
                raise StopIteration
            step = None if self._cancel is not None and self._cancel.is_set() else self.next_step()
            try:
                if step is None:
                    self.cancel()
                else:
                    (drawn,) = self._engine.run([step], self._cancel)
                    self.take(step, drawn)
            except Canceled:
                self.cancel()
        return self._new.popleft()

    @property
    def is_reading(self) -> bool:
        """Whether a part of the prompt has not been read yet."""
        return self._cache.length < self.prompt_tokens

    def next_step(self, longest: int | None = None, sequences: int = 1) -> Step:
        """
        Return the next step.

        `longest`: tokens of a piece of the prompt, at least SHORTEST_PIECE. `sequences`: those that decode in the pass;
        the more there are, the fewer tokens are guessed.
        """
        if not self.is_reading:
            guess = self._guess(sequences)
            return Step(self._cache, [self.ids[-1], *guess], self._sampler, len(guess), self._mask(len(guess)))
        begin = self._cache.length - self.reused_tokens
        if begin < 0:
            raise BackendFailedError('the device has failed, and has lost the KV cache')
        end = piece_end(self._prompt, begin, longest or self._engine.longest_piece)
        piece = self._prompt[begin:end]
        return Step(self._cache, piece) if end < len(self._prompt) else Step(self._cache, piece, self._sampler,
                                                                             allowed=self._mask())

    def take(self, step: Step, drawn: Drawn) -> None:
        """Process the sampled tokens of a step. Raises ValueError after the valid tokens if a draw has failed."""
        if step.sampler is None:
            self.on_prefill((self._cache.length - self.reused_tokens) / len(self._prompt))
            return
        guess = step.tokens[len(step.tokens) - step.guesses:]
        before = len(self.ids)
        self._append(drawn)
        if guess:
            assert self._guesser is not None
            # The cache keeps neither wrong guesses nor tokens sampled after the end.
            self._cache.truncate(self.prompt_tokens + len(self.ids) - 1)
            right = sum(one == other for one, other in zip(guess, drawn.tokens, strict=False))
            self._guesser.note(len(guess), right)
            self.accepted_tokens += min(right, len(self.ids) - before)
        if drawn.error:
            raise ValueError(drawn.error)

    def tokens(self) -> list[Token]:
        """Return the tokens that are new since the last call."""
        tokens = [*self._new]
        self._new.clear()
        return tokens

    def cancel(self) -> None:
        """End the answer with its text so far."""
        self._logprob = None
        self._end(NO_TOKEN, '', 'canceled')

    def _append(self, drawn: Drawn) -> None:
        """Add sampled tokens up to the one that ends the answer."""
        tokens = drawn.tokens
        accepted: list[int] = []  # which the constraint has not seen yet
        for i, token in enumerate(tokens):
            if self.params.top_logprobs is not None:
                self._logprob = self._logprob_of(token, *drawn.logprobs[i])
            if i == len(tokens) - 1:
                self._sampler.accept(token)
            self.ids.append(token)
            if self._guesser is not None:
                self._guesser.append(token)
            if token in self._stop_ids:
                self._completes(accepted)
                self._end(token, '', 'stop')
                return
            text = self._stop_text.push(self._detokenizer.push(token))
            if self._stop_text.is_complete:
                self._completes(accepted)
                self._end(token, text, 'stop')
                return
            accepted.append(token)
            is_last = len(self.ids) == self._limit
            if (is_last or i == len(tokens) - 1) and self._completes(accepted, not is_last):
                self._end(token, text, 'stop')
                return
            if is_last:
                self._end(token, text, 'length')
                return
            self._push(token, text)

    def _completes(self, tokens: Sequence[int], goes_on: bool = False) -> bool:
        """Return whether the structure is complete after these tokens. A canceled answer ends at the next step."""
        if self._constraint is None or not tokens:
            return False
        most = self._most_guesses() if goes_on else 0
        guess = self._guesser.lookup(most) if self._guesser is not None and most else ()
        with suppress(WorkerCanceledError):
            return self._constraint.accept(*tokens, guess=guess, most=most)
        return False

    def _most_guesses(self) -> int:
        """Return the maximum number of guesses: limited by FEW_TOKENS, the context and the remaining tokens."""
        if self._guesser is None:
            return 0
        room = self._engine.context_length - self.prompt_tokens - len(self.ids)
        return max(0, min(FEW_TOKENS - 1, room, self._limit - len(self.ids) - 1))

    def _guess(self, sequences: int) -> Sequence[int]:
        most = self._most_guesses()
        if self._guesser is None or not most:
            return ()
        if self._constraint is None:
            return self._guesser.guess(most, sequences)
        return self._guesser.of_structure(self._constraint.guess[:most], self._constraint.is_forced, sequences)

    def _mask(self, guesses: int = 0) -> Any:
        return None if self._constraint is None else self._constraint.token_mask(guesses)

    def _end(self, token: int, text: str, reason: str) -> None:
        """Add the last token and all text that was held back."""
        self.finish_reason = reason
        self._push(token, text + self._stop_text.push(self._detokenizer.finish()) + self._stop_text.finish())

    def _push(self, token: int, text: str) -> None:
        self._texts.append(text)
        self._new.append(Token(text, token, self._steps, self.finish_reason, self._logprob))
        self._steps += 1

    def _logprob_of(self, token: int, logprob: float, top: Sequence[tuple[int, float]]) -> TokenLogprob:
        piece = self._engine.tokenizer.bytes_of
        return TokenLogprob(token, piece(token), logprob,
                            tuple(TokenLogprob(other, piece(other), value) for other, value in top))
