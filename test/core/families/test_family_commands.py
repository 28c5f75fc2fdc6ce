# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A small Hugging Face directory of each family through the commands: import, info, eval, bench, chat."""
from __future__ import annotations

import json
from pathlib import Path

from families.tiny_models import Reference
import pytest

from tinychat_core.cli import main
from tinychat_core.families import families

FAMILIES = {
    'llama 2, vicuna': 'llama', 'llama 3.1, rope llama3': 'llama', 'smollm2': 'llama', 'mistral, a window': 'mistral',
    'qwen2': 'qwen2', 'qwen3': 'qwen3', 'phi3, a window': 'phi3', 'gemma2': 'gemma2', 'gemma3': 'gemma3',
    'opt': 'opt', 'opt 350m': 'opt', 'mpt': 'mpt', 'falcon 7b': 'falcon', 'falcon 40b': 'falcon'}

VISION_FAMILIES = {  # see test/core/vision
    'internvl', 'internvl_chat', 'llava', 'llava_next', 'qwen2_5_vl', 'qwen3_vl', 'smolvlm'}


def test_no_family_is_left_out() -> None:
    assert {*FAMILIES.values(), *VISION_FAMILIES} == {family.name for family in families()}


@pytest.mark.parametrize('name', FAMILIES)
def test_every_command_serves_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def tinychat(*arguments: str) -> str:
        assert main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    source = Reference(name).save(tmp_path / 'theirs')
    (source / 'chat_template.jinja').write_text(
        '{% for message in messages %}{{ message.content }}\n{% endfor %}', encoding='utf-8')
    (tmp_path / 'text.txt').write_text('The robot waits. ' * 20, encoding='utf-8')
    model = str(tmp_path / 'ours')
    tinychat('import', str(source), model, '--weights', 'W4', '--group-size', '32')
    info = json.loads(tinychat('info', model, '--json'))
    assert (info['family'], info['weights'], info['fits']) == (FAMILIES[name], 'W4', True)
    scored = json.loads(tinychat('eval', model, '--text', str(tmp_path / 'text.txt'), '--window', '128', '--json'))
    assert scored['tokens'] == 2 * 127 and scored['perplexity'] > 1
    compared = json.loads(tinychat('eval', model, '--text', str(tmp_path / 'text.txt'), '--window', '128',
                                   '--compare', str(source), '--json'))
    assert compared['perplexity'] == pytest.approx(scored['perplexity'], rel=1e-5)
    assert compared['tokens'] == scored['tokens']
    assert 0 < compared['kl_divergence'] < 1
    timed = json.loads(tinychat('bench', model, '--new-tokens', '2', '--context', '3', '--threads', '1', '--json'))
    assert timed['decode_tokens_per_s'] > 0
    answer = tinychat('chat', model, '--prompt', 'Hi', '--max-new-tokens', '5', '--seed', '1', '--threads', '1')
    assert answer.endswith('\n')
