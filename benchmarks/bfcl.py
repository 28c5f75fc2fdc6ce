# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The single-turn questions of the Berkeley Function-Calling Leaderboard, and the leaderboard's judgement of the calls.

Both come from the wheel of bfcl-eval (Apache-2.0, https://github.com/ShishirPatil/gorilla), which is downloaded once
and not installed: its dependencies are the clients of all the models on the leaderboard.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any
import zipfile

VERSION = '2026.3.23'
FILES = {'simple': 'BFCL_v4_simple_python', 'multiple': 'BFCL_v4_multiple', 'parallel': 'BFCL_v4_parallel'}
CACHE = Path(__file__).resolve().parent.parent / 'build' / 'cache'
# Python's type names in the questions -> those of JSON schema.
_TYPES = {'dict': 'object', 'float': 'number', 'tuple': 'array', 'list': 'array', 'bool': 'boolean', 'any': 'string'}
_PACKAGE = 'bfcl_eval'


@dataclass(frozen=True)
class Case:
    """A question, the tools as OpenAI's API takes them, and what the judge needs."""

    kind: str
    name: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    functions: Sequence[Mapping[str, Any]]
    answers: Sequence[Mapping[str, Any]]

    def is_right(self, calls: Sequence[tuple[str, Any]]) -> bool:
        """Return the judgement of bfcl-eval; a call is a name and its arguments."""
        from bfcl_eval.constants.enums import Language
        from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

        try:
            judgement = ast_checker(self.functions, [{name: arguments} for name, arguments in calls], self.answers,
                                    Language.PYTHON, self.kind, 'model')
        except Exception:  # the judge only accepts arguments that are an object
            return False
        return bool(judgement['valid'])


def cases(kind: str, count: int) -> list[Case]:
    """Return `count` questions of a kind, from all parts of its file."""
    wheel = _wheel()
    _make_judge_importable(wheel)
    with zipfile.ZipFile(wheel) as archive:
        name = FILES[kind]
        questions = _lines(archive, f'{_PACKAGE}/data/{name}.json')
        answers = {line['id']: line['ground_truth']
                   for line in _lines(archive, f'{_PACKAGE}/data/possible_answer/{name}.json')}
    count = min(count, len(questions))
    chosen = [questions[i * len(questions) // count] for i in range(count)]
    return [Case(kind, line['id'], line['question'][0], [_tool(function) for function in line['function']],
                 line['function'], answers[line['id']]) for line in chosen]


def _wheel() -> Path:
    path = CACHE / f'bfcl_eval-{VERSION}-py3-none-any.whl'
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', CACHE,
                        f'bfcl-eval=={VERSION}'], check=True)
    return path


def _make_judge_importable(wheel: Path) -> None:
    """Put the wheel on the path. Stubs replace modules that the judge imports but does not need for Python."""
    if str(wheel) in sys.path:
        return
    sys.path.append(str(wheel))
    models = ModuleType(f'{_PACKAGE}.constants.model_config')
    models.MODEL_CONFIG_MAPPING = {'model': SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]
    sys.modules[models.__name__] = models
    for language in ('java', 'js'):
        stub = ModuleType(f'{_PACKAGE}.eval_checker.ast_eval.type_convertor.{language}_type_converter')
        setattr(stub, f'{language}_type_converter', None)
        sys.modules[stub.__name__] = stub


def _lines(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).decode().splitlines()]


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    return {'type': 'function', 'function': {**function, 'parameters': _schema(function['parameters'])}}


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in schema.items() if key != 'optional'}
    if 'type' in made:
        made['type'] = _TYPES.get(made['type'], made['type'])
    if 'properties' in made:
        made['properties'] = {name: _schema(each) for name, each in made['properties'].items()}
    if 'items' in made:
        made['items'] = _schema(made['items'])
    return made
