# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat bench --parallel` and `--task`: the figures that they print."""

from __future__ import annotations

import json
from pathlib import Path
import sys
from typing import Any
from unittest.mock import MagicMock

from letters import tiny_engine
import pytest

from tinychat_core.bench.parallel import measure_parallel, ParallelSpeed
from tinychat_core.bench.plot import plot_parallel
from tinychat_core.bench.tasks import TASKS
from tinychat_core.cli import main


def test_the_figures_of_several_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny_engine(monkeypatch, 'W4')
    tokenizer = engine.tokenizer
    one, three = measure_parallel(engine, 1, 8, 20), measure_parallel(engine, 3, 100, 20)
    assert engine.tokenizer is tokenizer and engine.speculates
    assert (one.parallel, one.first_token_ms, one.longest_gap_steps) == (1, 0.0, 0.0)
    assert three.tokens_per_s == pytest.approx(3 * three.tokens_per_s_each)
    assert min(one.tokens_per_s, three.step_ms, three.first_token_ms, three.longest_gap_steps) > 0
    engine.close()


def test_a_plot_of_several_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = MagicMock()
    monkeypatch.setitem(sys.modules, 'matplotlib', MagicMock())
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', MagicMock(Figure=figure))
    speeds = [ParallelSpeed(n, context, 100.0 * n, 100.0, 10.0, 0.0, 0.0) for n in (1, 2) for context in (4, 500)]
    plot_parallel(speeds, 'a model', 'plot.png')
    drawn = figure.return_value.subplots.return_value.plot.call_args_list
    assert [(call.args, call.kwargs['label']) for call in drawn] == [
        (([1, 2], [100.0, 200.0]), f'context {context}') for context in (4, 500)]
    assert figure.return_value.savefig.call_args.args == ('plot.png',)


@pytest.mark.parametrize(('arguments', 'error'), [
    (['--shape', 'smollm2-135m', '--parallel', '33'], '--parallel must be 1 .. 32'),
    (['--shape', 'smollm2-135m', '--parallel', '0'], '--parallel takes positive whole numbers'),
    (['--shape', 'smollm2-135m', '--task', 'free'], '--task needs a model directory'),
])
def test_impossible_settings(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['bench', *arguments]) == 2
    assert error in capsys.readouterr().err


@pytest.mark.large
def test_tasks_of_the_real_model(smollm2_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [argument for task in TASKS for argument in ('--task', task)]
    assert main(['bench', str(smollm2_checkpoint), *arguments, '--json', '--new-tokens', '60']) == 0
    results: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    shares = {result['task']: result['accepted_share'] for result in results}
    assert [*shares] == [*TASKS] and shares['extract'] > 0.3 and shares['json'] > 0.2 > shares['free'] / 2
