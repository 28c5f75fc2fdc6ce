# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Chat templates of every manner that models have: what they do with roles, spaces and turns."""

from __future__ import annotations

from pathlib import Path

BUILT_IN = Path(__file__).parents[2] / 'tinychat_core' / 'text' / 'templates'
VARIABLES = {'bos_token': '<s>', 'eos_token': '</s>'}
_ALTERNATE = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)

TEMPLATES = {
    'chatml': (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
        "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    'llama 3': (
        "{% for message in messages %}{% set text = '<|start_header_id|>' + message['role'] + "
        "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
        '{% set text = bos_token + text %}{% endif %}{{ text }}{% endfor %}'
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    'gemma 2': (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        '{% endif %}{% for message in messages %}'
        + _ALTERNATE
        + "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
        "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
    ),
    'old mistral': (
        '{{ bos_token }}{% for message in messages %}' + _ALTERNATE + "{% if message['role'] == 'user' %}"
        "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
        "{{ message['content'] + eos_token }}{% else %}"
        "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
    ),
    # Knows two roles, and says nothing of others.
    'silent': (
        "{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + "
        "'<|end|>\n' }}{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\n' + message['content'] + "
        "'<|end|>\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
    # Pairs of a question and an answer: two questions in a row lose the first.
    'pairs': (
        "{% set ns = namespace(question='') %}{% for message in messages %}{% if message['role'] == 'user' %}"
        "{% set ns.question = message['content'] %}{% else %}{{ 'Q: ' + ns.question + '\nA: ' + "
        "message['content'] + '\n' }}{% set ns.question = '' %}{% endif %}{% endfor %}"
        "{% if ns.question %}{{ 'Q: ' + ns.question + '\nA:' }}{% endif %}"
    ),
    # Takes what a message says in parts, as models that see images do.
    'parts': (
        "{% for message in messages %}{{ '<' + message['role'] + '>' }}{% for part in message['content'] %}"
        "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{{ '</s>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
    ),
    # Leaves the thoughts of earlier answers out.
    'thinking': (
        "{% for message in messages %}{% set content = message['content'] %}{% if message['role'] == 'assistant' "
        "and '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
        "{{ '<' + message['role'] + '>' + content + '</s>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<assistant><think>\n' }}{% endif %}"
    ),
    **{file.stem: file.read_text(encoding='utf-8') for file in sorted(BUILT_IN.glob('*.jinja'))},
}
