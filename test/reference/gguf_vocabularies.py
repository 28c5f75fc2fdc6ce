# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Small vocabularies as GGUF files have them: byte level and SentencePiece's, with special tokens of real models."""
from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from reference.byte_pairs import BYTE_LETTERS
from reference.mixed_text import LANGUAGES, MARKED, mixed, PLAIN

# Learnt from mixed text that was not cut into words: they go across every border that a name may draw.
MERGES = Path(__file__).parents[1] / 'golden' / 'llama-cpp' / 'merges.txt'
# Tokens that no merge makes: only where a whole word is looked up first do they come.
WHOLE = ['Ġzyzzyva', 'qwfpgj']
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
Special = dict[str, int]

CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
_CHATML_TOKENS = {'<|endoftext|>': CONTROL, '<|im_start|>': CONTROL, '<|im_end|>': CONTROL, '<think>': USER_DEFINED,
                  '</think>': USER_DEFINED, '<|fim_pad|>': CONTROL, '<|file_sep|>': CONTROL}
_LLAMA_2 = {'<unk>': UNKNOWN, '<s>': CONTROL, '</s>': CONTROL}


def byte_level(pre: str | None, special: Special, **keys: Any) -> dict[str, Any]:
    """Return the metadata of a byte-level vocabulary; keys are those after `tokenizer.ggml.`."""
    merges = MERGES.read_text(encoding='utf-8').split('\n')[:-1]
    tokens = list(dict.fromkeys([*special, *BYTE_LETTERS.values(), *(merge.replace(' ', '') for merge in merges),
                                 *WHOLE]))
    return _metadata('gpt2', tokens, special, pre=pre, merges=merges, **keys)


def sentencepiece(special: Special, **keys: Any) -> dict[str, Any]:
    """Return the metadata of a vocabulary with scores; its rare characters are bytes."""
    text = mixed(LANGUAGES, PLAIN, MARKED, characters=40_000, seed=7).replace(' ', '▁')
    counts = Counter(text[i:i + size] for size in range(1, 6) for i in range(len(text) - size + 1))
    pieces = sorted((piece for piece, count in counts.items() if count > 3 and '\n' not in piece),
                    key=lambda piece: (-counts[piece], len(piece), piece))[:2500]
    tokens = list(dict.fromkeys([*special, *(f'<0x{byte:02X}>' for byte in range(256)), *pieces]))
    scores = [0.0 if i < len(special) + 256 else -float(i) for i in range(len(tokens))]
    return _metadata('llama', tokens, special, scores=scores, **keys)


def _metadata(model: str, tokens: list[str], special: Special, **keys: Any) -> dict[str, Any]:
    types = [special.get(token, BYTE if model == 'llama' and token.startswith('<0x') else NORMAL) for token in tokens]
    architecture, template = keys.pop('architecture', 'llama'), keys.pop('template', None)
    made = {'general.architecture': architecture, 'general.name': keys.pop('name', 'small'),
            'tokenizer.ggml.model': model, 'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.token_type': types,
            'tokenizer.chat_template': template}
    for key, value in keys.items():
        is_id = key.endswith('_token_id') and isinstance(value, str)
        made[f'tokenizer.ggml.{key}'] = tokens.index(value) if is_id else value
    return {key: value for key, value in made.items() if value is not None}


def layouts() -> dict[str, dict[str, Any]]:
    """Return files whose special tokens stand as those of real models do."""
    gemma = {'<pad>': CONTROL, '<eos>': CONTROL, '<bos>': CONTROL, '<unk>': UNKNOWN, '<start_of_turn>': CONTROL,
             '<end_of_turn>': CONTROL, '<b>': USER_DEFINED, '</b>': USER_DEFINED, '<strong>': USER_DEFINED}
    phi_3 = {**_LLAMA_2, '<|endoftext|>': CONTROL, '<|assistant|>': CONTROL, '<|system|>': CONTROL, '<|end|>': CONTROL,
             '<|user|>': CONTROL}
    llama_3 = {'<|begin_of_text|>': CONTROL, '<|end_of_text|>': CONTROL, '<|start_header_id|>': CONTROL,
               '<|end_header_id|>': CONTROL, '<|eot_id|>': CONTROL, '<|eom_id|>': CONTROL}
    llama_2_ids = {'bos_token_id': '<s>', 'eos_token_id': '</s>', 'unknown_token_id': '<unk>'}
    return {
        'qwen 2': byte_level('qwen2', _CHATML_TOKENS, bos_token_id='<|endoftext|>', eos_token_id='<|im_end|>',
                             padding_token_id='<|endoftext|>', add_bos_token=False, template=CHATML),
        'smollm': byte_level('smollm', _CHATML_TOKENS, bos_token_id='<|im_start|>', eos_token_id='<|im_end|>'),
        'llama 3': byte_level('llama-bpe', llama_3, bos_token_id='<|begin_of_text|>', eos_token_id='<|eot_id|>'),
        'phi 4': byte_level('dbrx', {'<|endoftext|>': CONTROL, '<|im_start|>': CONTROL, '<|im_end|>': CONTROL,
                                     '<|im_sep|>': CONTROL}, architecture='phi3', name='Phi 4',
                            bos_token_id='<|endoftext|>', eos_token_id='<|im_end|>', add_bos_token=False),
        'falcon 3': byte_level('falcon3', {'<|endoftext|>': CONTROL, '<|assistant|>': CONTROL, '<|pad|>': CONTROL},
                               bos_token_id='<|endoftext|>', eos_token_id='<|endoftext|>', add_bos_token=False),
        'both ends': byte_level('gpt-2', _CHATML_TOKENS, bos_token_id='<|im_start|>', eos_token_id='<|im_end|>',
                                add_bos_token=True, add_eos_token=True),
        'llama 2': sentencepiece(_LLAMA_2, **llama_2_ids),
        'llama 2, ids by default': sentencepiece(_LLAMA_2),
        'llama 2, no bos': sentencepiece(_LLAMA_2, **llama_2_ids, add_bos_token=False, add_eos_token=True),
        'mistral': sentencepiece({**_LLAMA_2, '[INST]': CONTROL, '[/INST]': CONTROL}, **llama_2_ids),
        'gemma': sentencepiece(gemma, bos_token_id='<bos>', eos_token_id='<eos>', unknown_token_id='<unk>',
                               add_space_prefix=False, architecture='gemma2'),
        'phi 3': sentencepiece(phi_3, **llama_2_ids, architecture='phi3', name='Phi-3 Mini'),
    }


def spelt(metadata: dict[str, Any], texts: list[str]) -> list[str]:
    """Return texts with the special tokens of a file between and around them."""
    kinds = zip(metadata['tokenizer.ggml.tokens'], metadata['tokenizer.ggml.token_type'], strict=True)
    special = [token for token, kind in kinds if kind in (UNKNOWN, CONTROL, USER_DEFINED)]
    made = [''.join(f'{token}{between}{text[20 * i:20 * i + 20]}' for i, token in enumerate(special))
            for text in texts for between in ('', ' ', '\n', ' \n  ')]
    return [*texts, *made, *special, '', ' ', '  a', ' ' + special[0], special[0] + special[0]]
