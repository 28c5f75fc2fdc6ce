# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The worker that compiles and follows grammars, with llguidance (https://github.com/guidance-ai/llguidance).

If a schema forces a text, the worker asks for the model's tokens of this text: `encode` → ids.

Requests (`do`):
- check: `json_schema` or `regex` → `error`, without a vocabulary and without compiling the lexer;
- vocabulary: `name`, `tokens` (each Latin-1 for bytes), `special`, `ends` → {};
- begin: `session`, `vocabulary`, `json_schema`, `regex` or `lark`, `tokens` (to be taken at once), `guess`, `most` → as
  accept;
- accept: `session`, `tokens`, `guess`, `most` → `error`, `stopped`, `accepting` (whether it may end here), `guess`
  (at most `most` tokens: those that the grammar forces, `forced`, or as much of the guess in the request as it allows),
  and as raw bytes the mask of the next token, and one more mask for each token of the guess;
- matches: `session`, `text` → `matches`; it is the end of the session.
A session or vocabulary that this process does not know → `unknown`. `ended` in any request: sessions that have ended.
"""
from __future__ import annotations

import ctypes
import resource
from typing import Any

from tinychat_core.workers.serving import Ask, Reply, serve

# JSON on one line, as Python writes it: free white space is where small models lose themselves. Without \uXXXX a text,
# and so the name of a property, can be written in one way only.
JSON_STYLE: Any = {'whitespace_flexible': False, 'item_separator': ', ', 'key_separator': ': ',
                   'json_allowed_escapes': 'nrbtf\\"'}

_MUCH = 64 << 20
_MOST_ITEMS = 20_000
_MOST_KNOWN = 1000  # texts that a schema forces, with their tokens


class _Vocabulary:
    """What TokenizerWrapper wants of a tokenizer; the parent process tokenizes, what it said is kept."""

    bos_token_id = None

    def __init__(self, request: dict[str, Any], ask: Ask) -> None:
        self._ask = ask
        self._known: dict[str, list[int]] = {}
        self.eos_token_id = request['ends'][0]
        self.special_token_ids = request['special']
        self.tokens = [token.encode('latin-1') for token in request['tokens']]

    def __call__(self, text: str | bytes) -> list[int]:
        if isinstance(text, bytes):
            raise TypeError('only str')  # TokenizerWrapper tries
        if text not in self._known:
            if len(self._known) == _MOST_KNOWN:
                self._known.clear()
            self._known[text] = self._ask({'encode': text})
        return self._known[text]


_UNKNOWN: Reply = {'unknown': True}, b''


class _Grammars:
    """The grammars of this process: tokenizers by vocabulary, matchers by session."""

    def __init__(self) -> None:
        self._tokenizers: dict[str, Any] = {}
        self._matchers: dict[int, tuple[Any, Any]] = {}
        self._ask: Ask = list

    def answer(self, request: dict[str, Any], ask: Ask) -> Reply:
        self._ask = ask
        ended = [self._matchers.pop(session, None) for session in request.get('ended', ())]
        if any(ended):
            ended.clear()
            _trim()
        reply: Reply = getattr(self, f"_{request['do']}")(request)
        return reply

    def _check(self, request: dict[str, Any]) -> Reply:
        from llguidance import LLMatcher

        try:
            return {'error': LLMatcher.validate_grammar(_grammar(request))}, b''
        except ValueError as error:  # nested beyond what its reader of JSON takes
            return {'error': str(error)}, b''

    def _vocabulary(self, request: dict[str, Any]) -> Reply:
        from llguidance import LLTokenizer, TokenizerWrapper

        wrapper = TokenizerWrapper(_Vocabulary(request, self._ask))
        self._tokenizers[request['name']] = LLTokenizer(wrapper, n_vocab=len(request['tokens']),
                                                        eos_token=request['ends'])
        return {}, b''

    def _begin(self, request: dict[str, Any]) -> Reply:
        from llguidance import LLMatcher, LLParserLimits

        tokenizer = self._tokenizers.get(request['vocabulary'])
        if tokenizer is None:
            return _UNKNOWN
        # Time and memory are bounded without it: an object may have some thousand properties.
        limits = LLParserLimits(max_items_in_row=_MOST_ITEMS, verbose_errors=False)
        matcher = LLMatcher(tokenizer, _grammar(request), log_level=0, limits=limits)
        if request['tokens']:
            matcher.consume_tokens(request['tokens'])
        self._matchers[request['session']] = matcher, tokenizer
        return self._state(matcher, request)

    def _accept(self, request: dict[str, Any]) -> Reply:
        if request['session'] not in self._matchers:
            return _UNKNOWN
        matcher, _ = self._matchers[request['session']]
        matcher.consume_tokens(request['tokens'])
        if matcher.is_error():
            self._matchers.pop(request['session'])
        return self._state(matcher, request)

    def _matches(self, request: dict[str, Any]) -> Reply:
        if request['session'] not in self._matchers:
            return _UNKNOWN
        matcher, tokenizer = self._matchers.pop(request['session'])
        matcher.reset()
        tokens = tokenizer.greedy_tokenize(request['text'])
        matches = matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()
        del matcher
        _trim()
        return {'matches': matches}, b''

    @staticmethod
    def _state(matcher: Any, request: dict[str, Any]) -> Reply:
        stopped = matcher.is_error() or matcher.is_stopped()
        state = {'error': matcher.get_error(), 'stopped': stopped, 'accepting': matcher.is_accepting(), 'forced': False,
                 'guess': []}
        if stopped:
            return state, b''
        masks = [matcher.compute_bitmask()]
        if request['most']:
            forced = matcher.compute_ff_tokens()
            state['forced'] = bool(forced)
            state['guess'] = _follow(matcher, (forced or request['guess'])[:request['most']], masks)
        return state, b''.join(masks)


def _follow(matcher: Any, guess: list[int], masks: list[bytes]) -> list[int]:
    """Return the longest allowed prefix of a guess, and add the mask of the next token after each of its tokens."""
    allowed = 0
    for token in guess:
        if matcher.try_consume_tokens([token]) < 1:
            break
        allowed += 1
        if matcher.is_stopped():  # the last token is sampled, not guessed
            matcher.rollback(1)
            allowed -= 1
            break
        masks.append(matcher.compute_bitmask())
    if allowed:
        matcher.rollback(allowed)
    return guess[:allowed]


def _grammar(request: dict[str, Any]) -> str:
    from llguidance import LLMatcher

    if 'lark' in request:
        return str(LLMatcher.grammar_from_lark(request['lark']))
    schema = request.get('json_schema')
    grammar: str = (LLMatcher.grammar_from_regex(request['regex']) if schema is None else
                    LLMatcher.grammar_from_json_schema(schema, defaults=JSON_STYLE))
    return grammar


def _trim() -> None:
    """Give the memory of what was freed back to the system, where it may be much."""
    with open('/proc/self/statm', encoding='ascii') as file:
        if int(file.read().split()[1]) * resource.getpagesize() < _MUCH:
            return
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)


def main() -> None:
    """Serve, with llguidance loaded before a clock runs."""
    import llguidance  # noqa: F401

    serve(_Grammars().answer)
