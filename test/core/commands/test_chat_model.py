# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat chat` as a process of its own, and the demo's parameters, with a real model."""
from __future__ import annotations

from pathlib import Path
import signal
import subprocess
import sys

import yaml

from tinychat_core.engine import Engine
from tinychat_core.sampling import SamplingParams

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, '-c', 'import sys; from tinychat_core.cli import main; sys.exit(main())', 'chat']


def chat(model: Path, *arguments: str, stdin: bytes = b'') -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, str(model), '--max-seq-len', '1024', *arguments], input=stdin,
                          capture_output=True, timeout=120, check=False)


def test_it_answers(smollm2_checkpoint: Path) -> None:
    done = chat(smollm2_checkpoint, '--precision', 'W4A16', '--prompt', 'What is the capital of France?')
    assert done.returncode == 0 and b'Paris' in done.stdout


def test_the_same_seed_gives_the_same_answer(smollm2_checkpoint: Path) -> None:
    options = ['--prompt', 'Tell a story.', '--temperature', '1', '--max-new-tokens', '20']
    answers = [chat(smollm2_checkpoint, *options, '--seed', seed).stdout for seed in ('1', '1', '2')]
    assert answers[0] == answers[1] != answers[2]


def test_ctrl_c_leaves_the_partial_answer(smollm2_checkpoint: Path) -> None:
    command = [*COMMAND, str(smollm2_checkpoint), '--prompt', 'Count to one thousand.',
               '--max-new-tokens', '900']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        beginning = process.stdout.read(10)
        process.send_signal(signal.SIGINT)
        rest, figures = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(beginning + rest) >= 10 and b', canceled]' in figures


def test_bytes_that_are_not_utf8_are_one_line(smollm2_checkpoint: Path) -> None:
    done = chat(smollm2_checkpoint, stdin=b'caf\xe9\n')
    assert done.returncode == 2
    assert done.stderr.startswith(b'tinychat: error: ') and done.stderr.count(b'\n') == 1


def test_serving_imports_neither_torch_nor_transformers(smollm2_checkpoint: Path) -> None:
    script = ('import sys; from tinychat_core.cli import main; main()\n'
              "assert not {'torch', 'transformers', 'rclpy'} & {*sys.modules}")
    subprocess.run([sys.executable, '-c', script, 'chat', str(smollm2_checkpoint), '--prompt', 'Hi',
                    '--max-new-tokens', '2'], check=True, timeout=120)


def test_an_answer_can_be_made_to_match(smollm2_checkpoint: Path) -> None:
    done = chat(smollm2_checkpoint, '--prompt', 'Is water wet?', '--regex', '(yes|no)!')
    assert done.returncode == 0 and done.stdout in (b'yes!\n', b'no!\n')
    done = chat(smollm2_checkpoint, '--prompt', 'Is water wet?', '--regex', '(yes|no)!', '--max-new-tokens', '1')
    assert b'cut off before it matched' in done.stderr


def test_a_structure_that_is_no_good_is_one_line(smollm2_checkpoint: Path) -> None:
    done = chat(smollm2_checkpoint, '--prompt', 'Hi', '--json-schema', '{"type": "objekt"}')
    assert done.returncode == 2
    assert done.stderr == b'tinychat: error: json_schema is refused: Invalid type: objekt\n'


def test_the_demo_knows_the_capital_of_france(smollm2_checkpoint: Path) -> None:
    parameters = yaml.safe_load((ROOT / 'config' / 'demo.yaml').read_text())['/**']['ros__parameters']
    engine = Engine.open(smollm2_checkpoint, max_seq_len=512)
    params = SamplingParams(max_new_tokens=parameters['max_new_tokens'], **parameters['sampling'])
    answer = engine.generate([{'role': 'user', 'content': 'What is the capital of France?'}], params)
    assert ''.join(token.text for token in answer) == 'The capital of France is Paris.'
