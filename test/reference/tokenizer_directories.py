# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Directories with small tokenizers, laid out as those of published models: for Tokenizer.open and for transformers."""
from __future__ import annotations

from collections.abc import Callable
from itertools import product
import json
from pathlib import Path
from typing import Any

from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, Tokenizer, trainers

from reference.gguf_vocabularies import byte_level, CHATML, CONTROL, sentencepiece, UNKNOWN, USER_DEFINED
from reference.mixed_text import LANGUAGES, mixed, PLAIN
from tinychat_core.importers.gguf_tokenizer import tokenizer_files

Json = dict[str, Any]
# What a layout may change: files by their names, and tokenizer.json.
Layout = Callable[[dict[str, Any], Json], None]

_GPT_2 = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': True}
_BYTES = {'<|endoftext|>': CONTROL, '<|im_start|>': CONTROL, '<|im_end|>': CONTROL}
_SENTENCES = {'<unk>': UNKNOWN, '<s>': CONTROL, '</s>': CONTROL}
INST = ("{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}")


def _of_gguf(metadata: dict[str, Any], *steps: Json) -> Json:
    """Return the tokenizer.json that a GGUF file's vocabulary makes; `steps`: its pre-tokenizer as it is published."""
    made: Json = json.loads(tokenizer_files(metadata)['tokenizer.json'])
    if steps:
        made['pre_tokenizer'] = {'type': 'Sequence', 'pretokenizers': list(steps)}
    return made


def _unigram() -> Json:
    library = Tokenizer(models.Unigram())
    library.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(' ', '▁')])
    library.pre_tokenizer = pre_tokenizers.Metaspace('▁', prepend_scheme='always')
    library.decoder = decoders.Metaspace('▁', prepend_scheme='always')
    library.train_from_iterator([mixed(LANGUAGES, PLAIN, characters=5000, seed=3)], trainers.UnigramTrainer(
        vocab_size=400, special_tokens=['<unk>', '<s>', '</s>'], unk_token='<unk>', show_progress=False))
    library.post_processor = processors.TemplateProcessing(single='<s> $A', special_tokens=[('<s>', 1)])
    made: Json = json.loads(library.to_str())
    return made


def vocabularies() -> dict[str, Json]:
    """Return a tokenizer.json of each kind; the special tokens stand in the vocabulary and in `added_tokens`."""
    return {
        'qwen 2': _of_gguf(byte_level('qwen2', _BYTES)),
        'llama 3': _of_gguf(byte_level('llama-bpe', _BYTES, bos_token_id='<|endoftext|>')),
        'smollm': _of_gguf(byte_level('smollm', _BYTES), {'type': 'Digits', 'individual_digits': True}, _GPT_2),
        'gpt 2': _of_gguf(byte_level('gpt-2', {**_BYTES, '<think>': USER_DEFINED}), _GPT_2),
        'llama 2': _of_gguf(sentencepiece(_SENTENCES)),
        'gemma': _of_gguf(sentencepiece({**_SENTENCES, '<bos>': CONTROL, '<eos>': CONTROL, '<pad>': CONTROL,
                                         '<mask>': CONTROL}, bos_token_id='<bos>', add_space_prefix=False)),
        'unigram': _unigram(),
    }


def _token(content: str, **flags: bool) -> Json:
    return {'content': content, 'lstrip': False, 'normalized': False, 'rstrip': False, 'single_word': False,
            'special': True, **flags}


def _without_added(files: dict[str, Any], tokenizer: Json) -> list[Json]:
    """Take the added tokens out of tokenizer.json; return them."""
    taken, tokenizer['added_tokens'] = tokenizer['added_tokens'], []
    return taken


def _by_id(tokens: list[Json]) -> Json:
    return {str(token['id']): {key: value for key, value in token.items() if key != 'id'} for token in tokens}


def as_it_is(files: dict[str, Any], tokenizer: Json) -> None:
    """All stands in tokenizer.json."""


def only_in_the_config(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json']['added_tokens_decoder'] = _by_id(_without_added(files, tokenizer))


def more_in_the_config(files: dict[str, Any], tokenizer: Json) -> None:
    new = len(tokenizer['model']['vocab'])
    files['tokenizer_config.json']['added_tokens_decoder'] = {
        **_by_id(tokenizer['added_tokens']), str(new): _token('<|new|>'), str(new + 1): _token('<b>', special=False),
        str(new + 2): _token('ελλ', special=False), str(new + 3): _token('<|strip|>', rstrip=True, lstrip=True)}


def other_flags(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json']['added_tokens_decoder'] = {
        id_: {**token, 'rstrip': True, 'special': False} for id_, token in _by_id(tokenizer['added_tokens']).items()}


def fewer_in_the_config(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json']['added_tokens_decoder'] = _by_id(tokenizer['added_tokens'][:1])


def gap(files: dict[str, Any], tokenizer: Json) -> None:
    new = len(tokenizer['model']['vocab'])
    files['tokenizer_config.json']['added_tokens_decoder'] = {
        **_by_id(tokenizer['added_tokens']), str(new + 10): _token('<|far|>')}


def special_tokens_map(files: dict[str, Any], tokenizer: Json) -> None:
    names = [token['content'] for token in _without_added(files, tokenizer)]
    files['special_tokens_map.json'] = {
        'bos_token': _token(names[0]), 'eos_token': _token(names[-1], rstrip=True), 'pad_token': '<|new pad|>',
        'additional_special_tokens': names}
    for token in files['special_tokens_map.json'].values():
        if isinstance(token, dict):
            token.pop('special')


def map_over_config(files: dict[str, Any], tokenizer: Json) -> None:
    names = [token['content'] for token in tokenizer['added_tokens']]
    files['tokenizer_config.json'] |= {'eos_token': names[0], 'unk_token': names[0]}
    files['special_tokens_map.json'] = {'eos_token': names[-1], 'sep_token': '<sep>'}


def map_beside_decoder(files: dict[str, Any], tokenizer: Json) -> None:
    map_over_config(files, tokenizer)
    files['tokenizer_config.json']['added_tokens_decoder'] = _by_id(tokenizer['added_tokens'])


def added_tokens_file(files: dict[str, Any], tokenizer: Json) -> None:
    new = len(tokenizer['model']['vocab'])
    names = [token['content'] for token in _without_added(files, tokenizer)]
    files['tokenizer_config.json'] |= {'eos_token': names[-1], 'additional_special_tokens': ['<|new|>']}
    files['added_tokens.json'] = {'<|new|>': new, 'Ελλάδα': new + 1, '<b>': new + 2, names[-1]: len(names) - 1}


def extra_list(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json'] |= {'extra_special_tokens': ['<|new|>', '<|im_end|>'], 'cls_token': '<|cls|>'}


def extra_named(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json'] |= {'extra_special_tokens': {'image_token': '<image>'}, 'audio_token': '<|audio|>'}
    files['chat_template.jinja'] = '{{ image_token }}{{ audio_token }}' + CHATML + '{{ eos_token }}'


def added_token_objects(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json'] |= {'eos_token': {**_token('<|end of it|>', rstrip=True), '__type': 'AddedToken'}}


def frame_of_the_config(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json'] |= {'add_bos_token': True, 'add_eos_token': True}


def frame_without_post_processor(files: dict[str, Any], tokenizer: Json) -> None:
    tokenizer['post_processor'] = None
    files['tokenizer_config.json'] |= {'add_bos_token': True, 'add_eos_token': True}


def cut_and_filled(files: dict[str, Any], tokenizer: Json) -> None:
    tokenizer['truncation'] = {'direction': 'Right', 'max_length': 3, 'strategy': 'LongestFirst', 'stride': 0}
    tokenizer['padding'] = {'strategy': {'Fixed': 40}, 'direction': 'Right', 'pad_to_multiple_of': None, 'pad_id': 0,
                            'pad_type_id': 0, 'pad_token': tokenizer['added_tokens'][0]['content']}


def template_file(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json']['chat_template'] = 'not this one'
    files['chat_template.jinja'] = CHATML


def template_list(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json']['chat_template'] = [{'name': 'tool_use', 'template': 'not this one'},
                                                       {'name': 'default', 'template': CHATML}]


def template_folder(files: dict[str, Any], tokenizer: Json) -> None:
    files['chat_template.jinja'] = CHATML
    files['additional_chat_templates/tool_use.jinja'] = 'not this one'


def template_default_in_folder(files: dict[str, Any], tokenizer: Json) -> None:
    files['chat_template.jinja'] = 'not this one'
    files['additional_chat_templates/default.jinja'] = CHATML


def no_config(files: dict[str, Any], tokenizer: Json) -> None:
    del files['config.json']


def no_tokenizer_config(files: dict[str, Any], tokenizer: Json) -> None:
    del files['tokenizer_config.json']
    files['chat_template.jinja'] = CHATML
    files['special_tokens_map.json'] = {'eos_token': tokenizer['added_tokens'][-1]['content'], 'unk_token': None}


def empty_decoder(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json'] |= {'added_tokens_decoder': {}, 'extra_special_tokens': None,
                                       'additional_special_tokens': ['<|new|>'], 'pad_token': None}


def named_tokens_without_entries(files: dict[str, Any], tokenizer: Json) -> None:
    _without_added(files, tokenizer)


def new_named_tokens(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json'] |= {'mask_token': '<mask>', 'cls_token': '<|cls|>', 'sep_token': '<|cls|>'}


def map_with_extra(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json'] |= {'extra_special_tokens': ['<|new|>']}
    pad = {'content': '<|pad|>', 'lstrip': True, 'rstrip': True, 'normalized': True, 'single_word': False}
    files['special_tokens_map.json'] = {'extra_special_tokens': ['<sep>', '<|new|>'], 'pad_token': pad}


def extra_with_flags(files: dict[str, Any], tokenizer: Json) -> None:
    first, second = _token('<|new|>', rstrip=True), _token('<b>', lstrip=True)
    files['tokenizer_config.json'] |= {'extra_special_tokens': [
        {**first, '__type': 'AddedToken'}, {**second, '__type': 'AddedToken'}, '<sep>']}


def extra_named_and_others(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json'] |= {
        'extra_special_tokens': {'image_token': {**_token('<image>', rstrip=True), '__type': 'AddedToken'}},
        'additional_special_tokens': ['<|new|>', '<|audio|>']}


def extra_named_and_in_the_map(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json']['extra_special_tokens'] = {'image_token': '<image>'}
    files['special_tokens_map.json'] = {'extra_special_tokens': [
        {'content': '<|new|>', 'lstrip': True, 'rstrip': True, 'normalized': False, 'single_word': False}, '<sep>']}


def extra_named_twice(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json']['extra_special_tokens'] = {'audio_token': '<|audio|>'}
    files['special_tokens_map.json'] = {'extra_special_tokens': {'image_token': '<image>'}}


def named_of_this_model(files: dict[str, Any], tokenizer: Json) -> None:
    files['tokenizer_config.json']['model_specific_special_tokens'] = {'image_token': '<image>'}


def file_of_a_version(files: dict[str, Any], tokenizer: Json) -> None:
    for version, token in (('4.0.0', '<b>'), ('4.9.0', '<|new|>'), ('99.0.0', '<sep>')):
        files[f'tokenizer.{version}.json'] = {**tokenizer, 'added_tokens': [
            *tokenizer['added_tokens'], {'id': len(tokenizer['model']['vocab']), **_token(token)}]}
    files['tokenizer_config.json']['fast_tokenizer_files'] = [
        'tokenizer.99.0.0.json', 'tokenizer.4.9.0.json', 'tokenizer.4.0.0.json', 'tokenizer.json']


LAYOUTS: list[Layout] = [
    extra_named_and_in_the_map, extra_named_twice, named_of_this_model, file_of_a_version,
    extra_with_flags, extra_named_and_others,
    no_config, no_tokenizer_config, empty_decoder, named_tokens_without_entries, new_named_tokens, map_with_extra,
    as_it_is, only_in_the_config, more_in_the_config, other_flags, fewer_in_the_config, gap, special_tokens_map,
    map_over_config, map_beside_decoder, added_tokens_file, extra_list, extra_named, added_token_objects,
    frame_of_the_config, frame_without_post_processor, cut_and_filled, template_file, template_list, template_folder,
    template_default_in_folder]
# (tokenizer_class, model_type) as published: none, plain ones, each family's own, and wrong ones.
CLASSES = {
    'qwen 2': [(None, 'qwen2'), ('Qwen2Tokenizer', 'qwen2'), ('PreTrainedTokenizerFast', 'qwen2'),
               ('LlamaTokenizerFast', 'qwen2'), ('Qwen2Tokenizer', 'qwen3'), ('TokenizersBackend', 'qwen3'),
               (None, 'qwen3')],
    'llama 3': [('PreTrainedTokenizerFast', 'llama'), ('LlamaTokenizer', 'llama'), (None, 'llama'),
                ('PreTrainedTokenizerFast', 'mistral')],
    'smollm': [('GPT2Tokenizer', 'llama'), ('TokenizersBackend', 'llama'), ('NoSuchTokenizer', 'llama')],
    'gpt 2': [('GPT2Tokenizer', 'opt'), (None, 'opt'), ('GPTNeoXTokenizerFast', 'mpt'),
              ('PreTrainedTokenizerFast', 'mpt'), ('PreTrainedTokenizerFast', 'falcon'), ('GPT2TokenizerFast', 'phi3')],
    'llama 2': [('LlamaTokenizer', 'llama'), ('LlamaTokenizerFast', 'llama'), ('PreTrainedTokenizerFast', 'llama'),
                ('LlamaTokenizer', 'mistral'), ('LlamaTokenizer', 'phi3'), (None, 'llama')],
    'gemma': [('GemmaTokenizer', 'gemma2'), ('GemmaTokenizerFast', 'gemma3_text'), (None, 'gemma2'),
              ('PreTrainedTokenizerFast', 'gemma2'), ('GemmaTokenizer', 'gemma3')],
    'unigram': [('PreTrainedTokenizerFast', 'llama'), (None, 'llama')],
}


_EVERY_LAYOUT = ('qwen 2', 'llama 2')


def directories(of_all: bool) -> dict[str, Callable[[Path], None]]:
    """
    Return what writes each directory, by a name for it.

    `of_all`: every layout of every class; else every class in the plain layout, and every layout of two classes.
    """
    made = {}
    for vocabulary, classes in CLASSES.items():
        for i, ((name, family), layout) in enumerate(product(classes, LAYOUTS)):
            is_first = i < len(LAYOUTS)
            if of_all or layout is as_it_is or (is_first and (
                    vocabulary in _EVERY_LAYOUT or layout in (only_in_the_config, more_in_the_config))):
                made[f'{vocabulary}, {name}, {family}, {layout.__name__}'] = _writer(vocabulary, name, family, layout)
    for config in ({'legacy': True}, {'legacy': False}, {'add_prefix_space': False}, {'add_prefix_space': True}):
        for vocabulary, name, family in (('llama 2', 'LlamaTokenizer', 'llama'), ('gpt 2', 'GPT2Tokenizer', 'opt'),
                                         ('qwen 2', 'Qwen2Tokenizer', 'qwen2')):
            made[f'{vocabulary}, {name}, {config}'] = _writer(vocabulary, name, family, as_it_is, config)
    return made


_VOCABULARIES: dict[str, Json] = {}


def _writer(vocabulary: str, name: str | None, family: str, layout: Layout,
            config: Json | None = None) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        if not _VOCABULARIES:
            _VOCABULARIES.update(vocabularies())
        tokenizer = json.loads(json.dumps(_VOCABULARIES[vocabulary]))
        names = [token['content'] for token in tokenizer['added_tokens']]
        is_bytes = '<|im_end|>' in names
        files: dict[str, Any] = {
            'config.json': {'model_type': family},
            'tokenizer_config.json': {
                **({} if name is None else {'tokenizer_class': name}), 'chat_template': CHATML if is_bytes else INST,
                'bos_token': '<|endoftext|>' if is_bytes else '<bos>' if '<bos>' in names else '<s>',
                'eos_token': '<|im_end|>' if is_bytes else '<eos>' if '<eos>' in names else '</s>', **(config or {})}}
        layout(files, tokenizer)
        for path, content in {**files, 'tokenizer.json': tokenizer}.items():
            (directory / path).parent.mkdir(exist_ok=True, parents=True)
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            (directory / path).write_text(text, encoding='utf-8')

    return write
