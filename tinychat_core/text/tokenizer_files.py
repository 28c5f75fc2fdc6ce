# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The tokenizer that the files of a directory make together, as AutoTokenizer of transformers 5 reads them.

tokenizer.json has the vocabulary. Special tokens stand in it, in tokenizer_config.json, and where that has no
`added_tokens_decoder`, in special_tokens_map.json and added_tokens.json.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import json
import logging
from pathlib import Path
import re
from typing import Any

from tinychat_core.errors import CheckpointError, shown
from tinychat_core.text.special_tokens import is_mark
from tinychat_core.text.tokenizer_class import class_of, default_tokens, rebuilt

_log = logging.getLogger(__name__)

_NAMES = ('bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token')
_OF_THIS_MODEL = 'model_specific_special_tokens'
_FLAGS = ('lstrip', 'rstrip', 'single_word', 'normalized', 'special')
_VERSIONED, _TRANSFORMERS = re.compile(r'tokenizer\.(.*)\.json'), 5
_OLD = ('vocab.json', 'merges.txt', 'tokenizer.model', 'spiece.model', 'tekken.json', 'vocab.txt', 'tiktoken.model')


@dataclass(frozen=True)
class TokenizerFiles:
    """
    What the files say.

    `backend`: a `tokenizers.Tokenizer`. `named`: special tokens as templates call them (`bos_token`, …). `extra`: other
    special tokens. `config`: tokenizer_config.json, with chat_template.json. `model`: config.json.
    """

    backend: Any
    named: Mapping[str, str]
    extra: frozenset[str]
    config: Mapping[str, Any]
    model: Mapping[str, Any]


def read_tokenizer(directory: Path) -> TokenizerFiles:
    """Read a directory; CheckpointError where a file is missing or damaged."""
    config, model = read_json(directory / 'tokenizer_config.json'), read_json(directory / 'config.json')
    file = directory / tokenizer_name(config, directory)
    if not file.is_file():
        raise CheckpointError(without_tokenizer(directory, 'import the model again', file.name))
    try:
        library, named, extra = _built(directory, file, config, model)
        library.encode('a')  # A frame of tokens that are not there fails only here.
    except CheckpointError:
        raise
    except BaseException as error:  # The library raises nothing narrower; its PanicException is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != 'PanicException':
            raise
        raise CheckpointError(f'{file} is not a tokenizer, or does not match the other files: {error}') from None
    if config.get('split_special_tokens'):
        _log.warning('tokenizer_config.json: split_special_tokens is ignored; chat templates write special tokens')
    # A prompt is neither cut nor filled up.
    library.no_truncation()
    library.no_padding()
    # Some models have their template in a file of its own.
    return TokenizerFiles(library, named, extra, {**read_json(directory / 'chat_template.json'), **{
        name: value for name, value in config.items() if value is not None}}, model)


def tokenizer_name(config: Mapping[str, Any], directory: Path) -> str:
    """
    Return which file has the vocabulary: tokenizer.json, or what tokenizer_config.json has for newer versions.

    `fast_tokenizer_files` names tokenizer.VERSION.json for a version of transformers and those after it; here it is the
    fifth. CheckpointError for a name that is none.
    """
    names = config.get('fast_tokenizer_files')
    found = 'tokenizer.json'
    versions = {}
    for name in names if isinstance(names, list) else ():
        match = _VERSIONED.search(name) if isinstance(name, str) else None
        if match is not None:
            versions[match[1]] = name
    for version in sorted(versions):  # as texts, like transformers
        if not re.match(r'\d+(\.|$)', version) or '/' in versions[version]:
            raise CheckpointError(f'{directory}/tokenizer_config.json: fast_tokenizer_files has '
                                  f"{shown(versions[version])}, which is not the name of a version's file")
        if int(version.split('.')[0]) > _TRANSFORMERS:
            break
        found = versions[version]
    return found


def read_json(file: Path) -> dict[str, Any]:
    """Return the options of a file, none where it is missing; CheckpointError where it holds something else."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f'{file} is not valid JSON: {error}') from None
    if not isinstance(content, dict):
        raise CheckpointError(f'{file} is not a JSON object')
    return content


def token_text(token: Any) -> str | None:
    """Return the text of a special token in a file, which is plain or {'content': text, …}."""
    text = token.get('content') if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _built(directory: Path, file: Path, config: Mapping[str, Any],
           model: Mapping[str, Any]) -> tuple[Any, dict[str, str], frozenset[str]]:
    from tokenizers import AddedToken, Tokenizer as Library

    text = file.read_text(encoding='utf-8')
    name = class_of(config, model, '"ByteLevel"' in text)
    options = _with_extra(config)
    if 'added_tokens_decoder' in config:
        added = {int(id_): _added(token) for id_, token in config['added_tokens_decoder'].items()}
    else:
        options = _with_map(options, read_json(directory / 'special_tokens_map.json'))
        special = {*_named(options).values(), *_extra(options)}
        added = {id_: _added({'content': token, 'special': token in special})
                 for token, id_ in read_json(directory / 'added_tokens.json').items()}
    parsed = json.loads(text) if name else None
    if parsed is not None and parsed['model'].get('type', 'BPE') == 'BPE' and 'merges' in parsed['model']:
        library = Library.from_str(json.dumps(rebuilt(name, parsed, options)))
        in_file = {token['id']: _added(token) for token in parsed.get('added_tokens', [])}
    else:
        library = Library.from_str(text)
        in_file = library.get_added_tokens_decoder()
    if 'added_tokens_decoder' not in config:
        added |= in_file
    named = _named({**default_tokens(name), **options})
    pad = named.get('pad_token')
    if pad is not None and not is_mark(pad) and library.token_to_id(pad) is not None and not any(
            token.content == pad for token in (*added.values(), *library.get_added_tokens_decoder().values())):
        _log.warning('the pad_token %a of tokenizer_config.json is an ordinary token, and is treated as text', pad)
        del named['pad_token']
    extra = _extra(options)
    _add(library, [token for _, token in sorted(added.items())], named, options)
    if name == 'Qwen2Tokenizer':  # It adds its special tokens once more, without their flags.
        library.add_tokens([AddedToken(content, special=True) for content in (*named.values(), *extra)])
    _compare(library, added)
    _check_unknown(library.model)
    return library, named, frozenset(extra)


def _add(library: Any, added: Iterable[Any], named: Mapping[str, str], options: Mapping[str, Any]) -> None:
    """Add the tokens that are never cut; of one that comes twice the library keeps the first id and the last flags."""
    tokens = []
    known = {token.content for token in library.get_added_tokens_decoder().values()}
    for token in added:
        if token.content in named.values():
            token.special = True
        tokens.append(token)
        known.add(token.content)
    entries = {**options, **_of_this_model(options)}
    tokens += [_added({**_flags(entries.get(name)), 'content': content, 'special': True})
               for name, content in named.items() if content not in known]
    # Whatever a named token of the same text says: the last one counts.
    tokens += [_added({**_flags(entry), 'content': text, 'special': True})
               for entry in _extra_entries(options) if (text := token_text(entry)) is not None and text not in known]
    library.add_tokens(tokens)


def _flags(entry: Any) -> Mapping[str, Any]:
    return entry if isinstance(entry, dict) else {}


def _added(token: Mapping[str, Any]) -> Any:
    from tokenizers import AddedToken

    return AddedToken(token['content'], **{flag: bool(token[flag]) for flag in _FLAGS if flag in token})


def _named(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens that have a name, also those of one model alone (`image_token`)."""
    found = {name: text for name in (*_NAMES, *(key for key in options if key.endswith('_token') and key not in _NAMES))
             if (text := token_text(options.get(name))) is not None}
    return {**found, **{name: text for name, token in _of_this_model(options).items()
                        if (text := token_text(token)) is not None}}


def _of_this_model(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of named tokens that other models do not have."""
    tokens = options.get(_OF_THIS_MODEL)
    return tokens if isinstance(tokens, dict) else {}


def _with_extra(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return tokenizer_config.json with the newer name of `additional_special_tokens`, and named tokens apart."""
    options = dict(config)
    if 'additional_special_tokens' in options and not options.get('extra_special_tokens'):
        options['extra_special_tokens'] = options.pop('additional_special_tokens')
    if any(name.endswith('_token') and name not in _NAMES and isinstance(token, str)
           for name, token in options.items()):
        options.pop(_OF_THIS_MODEL, None)
    return _with_named(options, {})


def _with_named(options: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with an `extra_special_tokens` that names its tokens behind those that were named before."""
    if isinstance(options.get('extra_special_tokens'), dict):
        options[_OF_THIS_MODEL] = {**before, **options.pop('extra_special_tokens')}
    return options


def _with_map(options: Mapping[str, Any], tokens: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with what special_tokens_map.json says instead; of the other special tokens, with more."""
    made = {**options, **tokens}
    first, more = options.get('extra_special_tokens'), tokens.get('extra_special_tokens')
    if isinstance(more, list):
        first = first if isinstance(first, list) else []
        made['extra_special_tokens'] = [*first, *(token for token in more if token not in first)]
    elif 'extra_special_tokens' not in made and 'additional_special_tokens' in tokens:
        made['extra_special_tokens'] = tokens['additional_special_tokens']
    return _with_named(made, _of_this_model(made))


def _extra(options: Mapping[str, Any]) -> list[str]:
    return [text for token in _extra_entries(options) if (text := token_text(token)) is not None]


def _extra_entries(options: Mapping[str, Any]) -> list[Any]:
    """Return the entries of special tokens without a name; beside a mapping of named ones they have the older key."""
    for key in ('extra_special_tokens', 'additional_special_tokens'):
        tokens = options.get(key)
        if isinstance(tokens, list):
            return tokens
    return []


def _check_unknown(model: Any) -> None:
    """Say where the vocabulary lacks its own unknown token, which an added token of the same text does not replace."""
    unknown = getattr(model, 'unk_token', None)
    if unknown is None or model.token_to_id(unknown) is not None or (
            model.byte_fallback and all(model.token_to_id(f'<0x{byte:02X}>') is not None for byte in range(256))):
        return
    _log.warning('the vocabulary of the tokenizer lacks its unknown token %a: a text with a character that it does not '
                 'know is refused', unknown)


def _compare(library: Any, added: Mapping[int, Any]) -> None:
    """Say where a token has another id than its entry gives it: transformers counts on, too."""
    wrong = [token.content for id_, token in added.items() if library.token_to_id(token.content) != id_]
    if wrong:
        _log.warning('%d special tokens have other ids than in tokenizer_config.json, first %a: they get the next '
                     'free ids, as in transformers', len(wrong), wrong[0])


def without_tokenizer(directory: Path, instead: str, name: str = 'tokenizer.json') -> str:
    """Return what to say of a directory without the tokenizer's file; `instead` where nothing there makes one."""
    if name != 'tokenizer.json':
        return f'{directory} has no {name}, which tokenizer_config.json names (fast_tokenizer_files); get it as well'
    old = [name for name in _OLD if (directory / name).is_file()]
    if not old:
        return f'{directory} has no tokenizer.json; {instead}'
    return (f'{directory} has {" and ".join(old)}, but no tokenizer.json; make one with '
            'transformers.AutoTokenizer.from_pretrained(…).save_pretrained(…)')
