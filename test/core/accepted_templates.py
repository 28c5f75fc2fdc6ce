# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: chat templates."""
from __future__ import annotations

from collections.abc import Callable, Sequence
import json
from pathlib import Path

import small_huggingface as small
import tiny_llama
import torch

Case = Callable[[Path], Sequence[str]]


def gguf(choice: str | None = None, name: str = 'tiny', template: str | None = None, **named: str) -> Case:
    """Return a GGUF file with a template or none, with others under a name, and the choice of another."""
    def case(tmp_path: Path) -> Sequence[str]:
        source = tiny_llama.save(tmp_path / f'{name}.gguf', tiny_llama.tensors(), tokenizer__chat_template=template,
                                 **{f'tokenizer__chat_template__{key}': text for key, text in named.items()})
        return [str(source), *([] if choice is None else ['--chat-template', choice])]

    return case


def file(content: str) -> Case:
    """Return a GGUF file without a template, and the choice of a file."""
    def case(tmp_path: Path) -> Sequence[str]:
        (tmp_path / 'mine.jinja').write_text(content)
        return gguf(str(tmp_path / 'mine.jinja'))(tmp_path)

    return case


def directory(template: str | None) -> Case:
    def case(tmp_path: Path) -> Sequence[str]:
        made = small.save(tmp_path / 'theirs', small.tensors(torch.float16))
        options = {} if template is None else {'chat_template': template}
        (made / 'tokenizer_config.json').write_text(json.dumps(options))
        return [str(made)]

    return case


MESSAGES = '{% for m in messages %}{{ m.content }}{% endfor %}'
CASES: dict[str, list[Case]] = {
    'GGUF: no `tokenizer.chat_template`, but `tokenizer.chat_template.default`': [
        gguf(default=MESSAGES), gguf(default=MESSAGES, tool_use='{{ a')],
    'GGUF: no `tokenizer.chat_template`, but `tokenizer.chat_template.tool_use`': [gguf(tool_use=MESSAGES)],
    'GGUF: no `tokenizer.chat_template`, but other named templates': [gguf(rag=MESSAGES)],
    'a model without a chat template': [gguf(), directory(None)],
    'a model without a chat template, with `--chat-template NAME` or `FILE`': [
        gguf('chatml'), gguf('zephyr'), file(MESSAGES)],
    'a model without a chat template, named vicuna, llama-2-chat, mpt-chat or falcon-instruct': [
        gguf(name='vicuna-7b-v1.5'), gguf(name='Llama-2-7b-chat')],
    '`--chat-template NAME` whose control tokens the vocabulary lacks': [gguf('gemma'), gguf('phi-3')],
    'a chat template that is not valid jinja': [directory('{% for'), gguf(template='{{ a')],
    '`--chat-template FILE` that is JSON': [file('{"chat_template": "{{ messages }}"}')],
    '`--chat-template FILE` that writes no messages': [file('Hello'), file('')],
}
