# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Text and dialogues to token ids and back, with the model's own tokenizer.json and chat template."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
import json
import os
from pathlib import Path
import threading
from typing import Any, cast

from tinychat_core.errors import CheckpointError, InvalidParameterError, TinyChatError
from tinychat_core.text.chat_template import ChatTemplate, load_template
from tinychat_core.text.control_text import ControlText
from tinychat_core.text.detokenizer import Detokenizer, Pieces, PieceTable
from tinychat_core.text.messages import checked_message, mapped_texts, texts_in
from tinychat_core.text.placed_images import placed, PlacedImage
from tinychat_core.text.special_tokens import ends_of_answers, MARKUP
from tinychat_core.text.thoughts import begins_thought, is_mark, thought_marks
from tinychat_core.text.tokenizer_files import read_json, read_tokenizer, TokenizerFiles
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.tools import NO_TOOLS, ToolUse

_PROMPT_END = 16  # tokens of a prompt that tell whether it begins a thought


class Tokenizer:
    """
    The tokenizer of a checkpoint; safe to use from several threads.

    Control tokens are those that tokenizer.json calls special, and the added tokens that end an answer. They
    come from the chat template, the tokenizer's own frame of a text (`add_bos`) and `parse_special`: never
    from what a text spells.
    """

    def __init__(self, files: TokenizerFiles, *, template: ChatTemplate | None, eos_ids: Iterable[int]) -> None:
        """Take what the files of a checkpoint say; use `Tokenizer.open`."""
        self._library = library = files.backend
        # `encode_special_tokens` is a switch of the library's tokenizer, not of a call.
        self._lock = threading.Lock()
        self._template = template
        self.vocab_size: int = library.get_vocab_size(with_added_tokens=True)
        eos = files.named.get('eos_token')
        named = [] if eos is None else [library.token_to_id(eos)]
        stop_ids = {id_ for id_ in [*eos_ids, *named] if id_ is not None and 0 <= id_ < self.vocab_size}
        stop_ids.update(_ends_by_name(library))
        special = {*files.named.values(), *files.extra}
        self._control = {id_: token.content for id_, token in library.get_added_tokens_decoder().items()
                         if token.special or id_ in stop_ids or token.content in special}
        self.control_ids = frozenset(self._control)
        self.control_tokens = {content: id_ for id_, content in self._control.items()}
        self._make_special()
        self.stop_texts: tuple[str, ...] = ()
        if template is not None:
            after_answer, before_question = self._turn_ends(template)
            stop_ids.update(after_answer)
            self.stop_texts = before_question
        self.stop_ids = frozenset(stop_ids)
        self.thought_marks = thought_marks('' if template is None else template.source,
                                           (token.content for token in library.get_added_tokens_decoder().values()))
        table = PieceTable.of(*(_entry(step) for step in (library.decoder, library.normalizer, library.pre_tokenizer)))
        added = library.get_added_tokens_decoder()
        # Private use: SentencePiece's vocabularies do not have it, so it joins with nothing to one token.
        taken = set().union(*(token.content for token in added.values()))
        self._other = '' if not table.space and not table.leading_spaces else next(
            (chr(code) for code in range(0xF0000, 0xFFFFE) if chr(code) not in taken), '\n')
        # A model's thoughts would run into its answer.
        hidden = [id_ for id_, content in self._control.items() if not is_mark(content)]
        self._pieces = Pieces(table, library.id_to_token, hidden,
                              {id_: _bytes_of_added(token, library.normalizer, table) for id_, token in added.items()},
                              [id_ for id_, token in added.items() if not token.normalized])

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Tokenizer:
        """
        Read the tokenizer, the chat template and the ids that end an answer from a checkpoint's directory.

        Raises CheckpointError where tokenizer.json is missing or a file is corrupt, UnsupportedModelError for
        a kind of tokenizer that is not known.
        """
        directory = Path(directory)
        files = read_tokenizer(directory)
        model = files.model
        eos_ids: list[int] = []
        for source in (read_json(directory / 'generation_config.json'), model):
            eos = source.get('eos_token_id')
            eos_ids += eos if isinstance(eos, list) else [] if eos is None else [eos]
        if not all(isinstance(id_, int) for id_ in eos_ids):
            raise CheckpointError(f'{directory}: eos_token_id is {eos_ids}, which are not tokens')
        # The name that a model was published under, or that of its directory.
        name = f'{model.get("_name_or_path", "")} {directory.resolve().name}'
        jinja = load_template(directory, files.config, name)
        template = None if jinja is None else ChatTemplate(jinja, files.named)
        return cls(files, template=template, eos_ids=eos_ids)

    def encode(self, text: str, *, parse_special: bool = False, add_bos: bool = True) -> list[int]:
        """
        Return the ids of a text.

        `parse_special`: what spells a control token becomes that token; else it stays text. `add_bos`: with
        what the tokenizer puts around a text (for many models a token at its beginning, for others nothing);
        not for a text that continues another. Raises InvalidParameterError for a text that is not valid
        Unicode.
        """
        ids: list[int] = self._encode(text, parse_special, add_bos).ids
        return ids

    def encode_within(self, text: str) -> list[int]:
        """Return the ids of a text that goes on after another one: without what SentencePiece puts before a text."""
        return self._continued(text, lambda whole: self.encode(whole, add_bos=False))

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True, *,
                    tools: ToolUse = NO_TOOLS, thinking: bool | None = None) -> list[int]:
        """
        Return the ids of a dialogue of {'role', 'content'}, through the model's chat template.

        With `add_generation_prompt` the beginning of an answer follows it, or an assistant's message at the end is
        that beginning. An assistant's message may have `thoughts`, and `tool_calls` of {'id', 'name', 'arguments'}; a
        tool's has the `tool_call_id` of the call that it answers. A user's may have `images` (PlacedImage), which come
        before its content. `thinking`: whether the model shall think first;
        None: as the template has it. Raises InvalidParameterError for messages that are none, or that the template
        refuses; TinyChatError where the model has no chat template.
        """
        template = self._template_or_error()
        dialogue, guard = self._guarded(messages, template, tools)
        definitions = [mapped_texts(tool.definition, guard.protect) for tool in tools.tools]
        return self._ids(template.render(dialogue, add_generation_prompt, definitions, thinking), guard,
                         _images_of(messages))

    def answer_parts(self, prompt: Sequence[int], tools: ToolUse = NO_TOOLS, *, thinking: bool | None = None,
                     json_schema: str = '', regex: str = '') -> AnswerParts:
        """
        Return what the parts of the answer to a prompt may be: a thought, text, calls.

        `prompt`: ids as `encode_chat` returns them with the same `tools` and `thinking`. Raises InvalidParameterError
        where calls are wanted, and the chat template writes them in a format that is not known.
        """
        end = [id_ for id_ in prompt[-_PROMPT_END:] if id_ < self.vocab_size]  # others stand for images
        is_thinking = begins_thought(b''.join(map(self.bytes_of, end)).decode(errors='replace'))
        marks = self.thought_marks if is_thinking or thinking is not False else None
        form = self._template_or_error().tools.form if tools.tools else None
        return AnswerParts(form, tools, marks, is_thinking and marks is not None, json_schema, regex)

    @property
    def knows_tools(self) -> bool:
        """Whether the chat template knows tools; calls are possible with every template."""
        return self._template is not None and self._template.tools.writes_tools

    @property
    def switches_thinking(self) -> bool:
        """Whether the chat template can switch thinking on and off."""
        return self._template is not None and self._template.switches_thinking

    def encode_after_answer(self, messages: Sequence[Mapping[str, str]]) -> list[int] | None:
        """
        Return the ids of what follows the last answer of a dialogue, up to the beginning of the next answer.

        With them a dialogue goes on after the very tokens that the model wrote. White space around the answer counts as
        the model's. None where the template does not leave the answer, or what is before it, as it was. Raises like
        `encode_chat`.
        """
        template = self._template_or_error()
        dialogue, guard = self._guarded(messages, template)
        last = max(i for i, message in enumerate(dialogue) if message['role'] == 'assistant')
        before, whole = template.render(dialogue[:last], True), template.render(dialogue, True)
        answer = dialogue[last]['content'].lstrip()
        if not whole.startswith(before):
            return None
        rest = whole[len(before):].lstrip()
        images = _images_of(messages[last + 1:])
        for spelling in (answer, answer.rstrip()):
            if rest.startswith(spelling):
                return self._continued(rest[len(spelling):], lambda whole: self._ids(whole, guard, images))
        return None

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the ids; control tokens have none, but for marks of thoughts."""
        stream = self.detokenizer()
        return ''.join([stream.push(id_) for id_ in ids]) + stream.finish()

    def detokenizer(self, keep_leading_space: bool = False) -> Detokenizer:
        """Return a detokenizer for one answer; SentencePiece's space before a text is taken off, unless it is kept."""
        return Detokenizer(self._pieces, keep_leading_space)

    def bytes_of(self, token: int) -> bytes:
        """Return the bytes that a token stands for; none for a control token, but for a mark of thoughts."""
        return self._pieces[token]

    def has_same_tokens(self, other: Tokenizer) -> bool:
        """Return whether each id is the same token in another tokenizer."""
        return (self.vocab_size == other.vocab_size and self.control_ids == other.control_ids and
                all(self.bytes_of(id_) == other.bytes_of(id_) for id_ in range(self.vocab_size)))

    def _template_or_error(self) -> ChatTemplate:
        if self._template is None:
            raise TinyChatError('this model has no chat template: give it raw text, or put a '
                                'chat_template.jinja into its directory')
        return self._template

    def _guarded(self, messages: Sequence[Mapping[str, Any]], template: ChatTemplate,
                 tools: ToolUse = NO_TOOLS) -> tuple[list[dict[str, Any]], ControlText]:
        """Return the messages with marks where they spell control tokens."""
        dialogue = [checked_message(message, f'messages[{i}]') for i, message in enumerate(messages)]
        if not dialogue:
            raise InvalidParameterError('there are no messages')
        texts = texts_in([dialogue, [tool.definition for tool in tools.tools]])
        guard = ControlText(self._control.values(), [template.source, *texts])
        return [mapped_texts(message, guard.protect) for message in dialogue], guard

    def _ids(self, text: str, guard: ControlText, images: Sequence[PlacedImage] = ()) -> list[int]:
        """Return the ids of a template's text, the marks read as what they stand for, and the numbers of images."""
        if images:
            return placed(lambda whole: self._ids(whole, guard), text, images, self._library.token_to_id)
        encoding = self._encode(text, parse_special=True, add_bos=False, offsets=guard.is_used)
        ids: list[int] = self._restore(text, encoding, guard) if guard.is_used else encoding.ids
        return ids

    def _encode(self, text: str, parse_special: bool, add_bos: bool, offsets: bool = False) -> Any:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidParameterError('the text is not valid Unicode: it has half of a surrogate pair') from None
        with self._lock:
            self._library.encode_special_tokens = not parse_special
            # A batch, because only that releases the GIL; without offsets it takes a fifth of the time.
            encode = self._library.encode_batch if offsets else self._library.encode_batch_fast
            try:
                return encode([text], add_special_tokens=add_bos)[0]
            except Exception as error:  # The library raises nothing narrower.
                raise CheckpointError(f'tokenizer.json is damaged: it cannot encode this text: {error}') from None

    def _restore(self, text: str, encoding: Any, guard: ControlText) -> list[int]:
        """
        Return the ids of `text` with the spellings in place of the marks.

        Only a stretch between two control tokens that has a mark is encoded again: the tokens elsewhere are
        those of the whole text.
        """
        ids: list[int] = []
        stretch: list[int] = []
        begin = 0

        def end_stretch(end: int) -> None:
            part = text[begin:end]
            ids.extend(self._spelt(part, stretch, guard) if guard.is_in(part) else stretch)
            stretch.clear()

        for id_, (first, last) in zip(encoding.ids, encoding.offsets, strict=True):
            if id_ in self._control:
                end_stretch(first)
                ids.append(id_)
                begin = last
            else:
                stretch.append(id_)
        end_stretch(len(text))
        return ids

    def _spelt(self, part: str, ids: Sequence[int], guard: ControlText) -> list[int]:
        """Return the ids of a stretch with spellings for marks; with the marks they were `ids`."""
        def encode(text: str) -> list[int]:
            return cast('list[int]', self._encode(text, parse_special=False, add_bos=False).ids)

        spelt = guard.restore(part)
        if encode(part) == ids:
            return encode(spelt)
        return self._continued(spelt, encode)

    def _continued(self, text: str, encode: Callable[[str], list[int]]) -> list[int]:
        """Return the ids of a text that goes on after another one."""
        # Alone it would get the space that SentencePiece puts before a text: let something else be the first.
        return encode(self._other + text)[len(encode(self._other)):] if self._other else encode(text)

    def _make_special(self) -> None:
        """Let the library take every control token for special: some files forget the ends of answers."""
        from tokenizers import AddedToken

        added = self._library.get_added_tokens_decoder()
        self._library.add_special_tokens([
            AddedToken(token.content, single_word=token.single_word, lstrip=token.lstrip, rstrip=token.rstrip,
                       normalized=token.normalized, special=True)
            for id_, token in added.items() if id_ in self._control and not token.special])

    def _turn_ends(self, template: ChatTemplate) -> tuple[list[int], tuple[str, ...]]:
        """
        Return what ends an answer in the template's dialogues: ids, or a text where no control token does.

        It is what stands between an answer and the next question.
        """
        question, answer, next_question = 'first question', 'the answer', 'next question'
        dialogue = [{'role': 'user', 'content': question}, {'role': 'assistant', 'content': answer},
                    {'role': 'user', 'content': next_question}]
        try:
            text = template.render(dialogue, False)
        except InvalidParameterError:
            return [], ()
        between = text.rpartition(answer)[2].partition(next_question)[0]
        ids = self.encode(between, parse_special=True, add_bos=False)
        control = [id_ for id_ in ids if id_ in self._control]
        if not control:
            return [], (between.rstrip(),) if between.strip() else ()
        is_first = between.lstrip().startswith(self._control[control[0]])
        return (control[:1] if is_first else []), ()


def _images_of(messages: Sequence[Mapping[str, Any]]) -> list[PlacedImage]:
    return [image for message in messages for image in message.get('images') or ()]


def _entry(step: Any) -> dict[str, Any] | None:
    """Return a step of the library as tokenizer.json has it."""
    return None if step is None else cast('dict[str, Any]', json.loads(step.__getstate__()))


def _bytes_of_added(token: Any, normalizer: Any, table: PieceTable) -> bytes:
    """Return what an added token stands for: its very text, or where it is looked for in normalized text, that."""
    if not token.normalized or normalizer is None:
        text: str = token.content
        return text.encode()
    found: str = normalizer.normalize_str(token.content)
    return (found.replace(table.space, ' ') if table.space else found).encode()


def _ends_by_name(library: Any) -> list[int]:
    """Return what ends an answer by its name; a name that HTML has, too, only where it is a special token."""
    added = library.get_added_tokens_decoder()
    ids = {token: id_ for token in ends_of_answers(library.get_vocab(with_added_tokens=True))
           if (id_ := library.token_to_id(token)) is not None}
    return [id_ for token, id_ in ids.items() if token not in MARKUP or (id_ in added and added[id_].special)]
