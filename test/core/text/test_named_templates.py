# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The package's chat templates write what those write that the models' makers published."""
from __future__ import annotations

from pathlib import Path

import pytest

from tinychat_core.text.chat_template import ChatTemplate
from tinychat_core.text.named_templates import CONTROL_TOKENS, named_template, template_names, template_of_model

SYSTEM = {'role': 'system', 'content': 'You are a helpful assistant'}
DIALOGUE = [{'role': 'user', 'content': 'Hello'}, {'role': 'assistant', 'content': 'Hi there'},
            {'role': 'user', 'content': 'Who are you'}]
# What the published templates write of the dialogue, without and with the system prompt, bos_token <s> and eos_token
# </s>. Where the published one has no system prompt, the second is what its makers' later one or their documents say.
PUBLISHED = {
    # huggingface.co/teknium/OpenHermes-2.5-Mistral-7B
    'chatml': (
        '<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi there<|im_end|>\n<|im_start|>user\nWho are you'
        '<|im_end|>\n<|im_start|>assistant\n',
        '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>'
        'assistant\nHi there<|im_end|>\n<|im_start|>user\nWho are you<|im_end|>\n<|im_start|>assistant\n'),
    # huggingface.co/meta-llama/Meta-Llama-3-8B-Instruct
    'llama-3': (
        '<s><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n'
        'Hi there<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWho are you<|eot_id|>'
        '<|start_header_id|>assistant<|end_header_id|>\n\n',
        '<s><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant<|eot_id|><|start_header_id|>user'
        '<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHi there<|eot_id|>'
        '<|start_header_id|>user<|end_header_id|>\n\nWho are you<|eot_id|><|start_header_id|>assistant<|end_header_id|>'
        '\n\n'),
    # huggingface.co/mistralai/Mistral-7B-Instruct-v0.2; the system prompt as in mistral-common's first tokenizer
    'mistral': (
        '<s>[INST] Hello [/INST]Hi there</s>[INST] Who are you [/INST]',
        '<s>[INST] You are a helpful assistant\n\nHello [/INST]Hi there</s>[INST] Who are you [/INST]'),
    # huggingface.co/google/gemma-7b-it; the system prompt as of gemma-3-1b-it
    'gemma': (
        '<s><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\nHi there<end_of_turn>\n<start_of_turn>user\n'
        'Who are you<end_of_turn>\n<start_of_turn>model\n',
        '<s><start_of_turn>user\nYou are a helpful assistant\n\nHello<end_of_turn>\n<start_of_turn>model\nHi there'
        '<end_of_turn>\n<start_of_turn>user\nWho are you<end_of_turn>\n<start_of_turn>model\n'),
    # huggingface.co/microsoft/Phi-3-mini-4k-instruct
    'phi-3': (
        '<|user|>\nHello<|end|>\n<|assistant|>\nHi there<|end|>\n<|user|>\nWho are you<|end|>\n<|assistant|>\n',
        '<|system|>\nYou are a helpful assistant<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi there<|end|>\n'
        '<|user|>\nWho are you<|end|>\n<|assistant|>\n'),
    # huggingface.co/HuggingFaceH4/zephyr-7b-beta
    'zephyr': (
        '<|user|>\nHello</s>\n<|assistant|>\nHi there</s>\n<|user|>\nWho are you</s>\n<|assistant|>\n',
        '<|system|>\nYou are a helpful assistant</s>\n<|user|>\nHello</s>\n<|assistant|>\nHi there</s>\n<|user|>\n'
        'Who are you</s>\n<|assistant|>\n'),
    # github.com/lm-sys/FastChat, docs/vicuna_weights_version.md
    'vicuna': (
        '<s>A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, '
        "detailed, and polite answers to the user's questions. USER: Hello ASSISTANT: Hi there</s>USER: Who are you "
        'ASSISTANT:',
        '<s>You are a helpful assistant USER: Hello ASSISTANT: Hi there</s>USER: Who are you ASSISTANT:'),
    # github.com/meta-llama/llama, llama/generation.py (chat_completion)
    'llama-2': (
        '<s>[INST] Hello [/INST] Hi there </s><s>[INST] Who are you [/INST]',
        '<s>[INST] <<SYS>>\nYou are a helpful assistant\n<</SYS>>\n\nHello [/INST] Hi there </s><s>[INST] Who are you '
        '[/INST]'),
    # github.com/tatsu-lab/stanford_alpaca, train.py (PROMPT_DICT); it has one turn, and a second one follows
    'alpaca': (
        '<s>Below is an instruction that describes a task. Write a response that appropriately completes the request.'
        '\n\n### Instruction:\nHello\n\n### Response:Hi there</s>\n\n### Instruction:\nWho are you\n\n### Response:',
        '<s>You are a helpful assistant\n\n### Instruction:\nHello\n\n### Response:Hi there</s>\n\n### Instruction:\n'
        'Who are you\n\n### Response:'),
}


def rendered(name: str, messages: list[dict[str, str]], **variables: str) -> str:
    return ChatTemplate(named_template(name), variables).render(messages, add_generation_prompt=True)


@pytest.mark.parametrize('name', PUBLISHED)
def test_it_writes_what_the_published_one_writes(name: str) -> None:
    without, with_system = PUBLISHED[name]
    variables = {'bos_token': '<s>', 'eos_token': '</s>'}
    assert rendered(name, DIALOGUE, **variables) == without
    assert rendered(name, [SYSTEM, *DIALOGUE], **variables) == with_system


@pytest.mark.parametrize('name', template_names())
def test_it_needs_no_special_tokens_by_name(name: str) -> None:
    text = rendered(name, [SYSTEM, *DIALOGUE])
    assert text.index('Hello') < text.index('Hi there') < text.index('Who are you')
    assert all(token in text for token in CONTROL_TOKENS.get(name, ()))


def test_the_name_of_a_model_tells_its_template() -> None:
    assert template_of_model('lmsys/vicuna-7b-v1.5') == 'vicuna'
    assert template_of_model('Llama-2-7b-chat-hf') == 'llama-2' and template_of_model('Llama-2-7b-hf') is None


def test_what_is_no_name() -> None:
    for name in ('none', '../templates/vicuna', str(Path('vicuna.jinja')), ''):
        with pytest.raises(KeyError):
            named_template(name)
