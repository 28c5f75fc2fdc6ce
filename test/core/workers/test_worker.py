# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A process that is killed for what it costs, and is there again for the next request."""
from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import signal
import subprocess
import sys
from threading import Thread, Timer
import time
from typing import Any

from constrained import VOCABULARY
import pytest

from tinychat_core import constraint
from tinychat_core.constraint import OutputConstraint
from tinychat_core.engine import CancelFlag
from tinychat_core.errors import InvalidParameterError
from tinychat_core.workers.worker import Worker, WorkerCanceledError, WorkerFailedError

# 68 characters that take a compiler hours.
HOURS = '{"allOf":[{"type":"integer","multipleOf":9973},{"multipleOf":9967}]}'
# What a worker does with it before it answers: Python, as no library needs it.
PROGRAM = """
from tinychat_core.workers.serving import serve
def answer(request, ask):
    scope = {'ask': ask}
    exec(request['run'], scope)
    return {'result': scope.get('result')}, scope.get('raw', b'')
def main():
    serve(answer)
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    (tmp_path / 'running.py').write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    worker = Worker('running', 64 << 20)
    yield worker
    worker.stop_if_idle()


def run(worker: Worker, program: str, seconds: float = 5.0, **options: Any) -> Any:
    return worker.ask({'run': program}, seconds, **options)[0]['result']


def process_of(worker: Worker) -> int:
    return int(run(worker, 'import os; result = os.getpid()'))


def test_it_stays_warm(worker: Worker) -> None:
    assert process_of(worker) == process_of(worker) != os.getpid()


def test_a_reply_may_have_bytes_beside_it(worker: Worker) -> None:
    assert worker.ask({'run': "result = 1; raw = b'\\0' * 300000"}, 5.0) == ({'result': 1}, bytes(300_000))


def test_it_may_ask_back(worker: Worker) -> None:
    assert run(worker, "result = ask('one') + ask('two')", answer=str.upper) == 'ONETWO'


@pytest.mark.parametrize('program, reason', [
    ('while True: pass', 'takes more than 0.2 s'),
    ('len([i for i in range(10**12)])', 'takes more than'),
    ("'x' * 10**9", 'takes more than 64 MiB'),
    ('import os; os.abort()', 'takes more than 64 MiB'),
    ('import os, signal; os.kill(os.getpid(), signal.SIGSEGV)', 'nested too deeply'),
    ('import os; os._exit(3)', 'ends its process .3.'),
    ("raise ValueError('a\\nb')", 'failed: ValueError: a b$'),
    ('f = lambda: f(); f()', 'failed: RecursionError'),
])
def test_what_goes_wrong_ends_the_request_and_not_the_next(worker: Worker, program: str, reason: str) -> None:
    with pytest.raises(WorkerFailedError, match=reason):
        run(worker, program, 0.2)
    assert run(worker, 'result = 1') == 1


def test_what_ends_while_nobody_asks_is_started_again(worker: Worker) -> None:
    first = process_of(worker)
    os.kill(first, signal.SIGKILL)
    assert process_of(worker) != first


def test_a_cancel_ends_it_long_before_the_limit(worker: Worker) -> None:
    cancel = CancelFlag()
    Timer(0.1, cancel.set).start()
    with pytest.raises(WorkerCanceledError):
        run(worker, 'while True: pass', 1000.0, cancel=cancel)
    assert run(worker, 'result = 1') == 1


def test_a_cancel_is_heard_while_the_process_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an SD card that takes seconds."""
    (tmp_path / 'starting.py').write_text('import time\ntime.sleep(30)')
    monkeypatch.syspath_prepend(tmp_path)
    cancel = CancelFlag()
    Timer(0.1, cancel.set).start()
    with pytest.raises(WorkerCanceledError):
        Worker('starting', 64 << 20).ask({}, 5.0, cancel)


def test_what_is_canceled_already_is_not_asked(worker: Worker) -> None:
    process = run(worker, 'import os; result = os.getpid()')
    cancel = CancelFlag()
    cancel.set()
    with pytest.raises(WorkerCanceledError):
        run(worker, 'import time; time.sleep(30)', cancel=cancel)
    assert run(worker, 'import os; result = os.getpid()') == process  # it was not killed for that


def test_who_waits_for_another_s_request_can_be_canceled(worker: Worker) -> None:
    run(worker, 'result = 0')
    first = Thread(target=lambda: run(worker, 'import time; time.sleep(0.5); result = 1'))
    first.start()
    cancel = CancelFlag()
    cancel.set()
    while worker._lock.acquire(blocking=False):
        worker._lock.release()
    with pytest.raises(WorkerCanceledError):
        run(worker, 'result = 2', cancel=cancel)
    first.join()


def test_it_ends_with_its_parent_even_in_the_middle_of_a_request(tmp_path: Path) -> None:
    code = (f'import sys; sys.path.insert(0, {str(tmp_path)!r})\n'
            'from tinychat_core.workers.worker import Worker\n'
            "worker = Worker('running', 64 << 20)\n"
            "print(worker.ask({'run': 'import os; result = os.getpid()'}, 5.0)[0]['result'], flush=True)\n"
            "worker.ask({'run': 'while True: pass'}, 0.1)\n")
    (tmp_path / 'running.py').write_text(PROGRAM)
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    while Path(f'/proc/{child}/stat').exists() and Path(f'/proc/{child}/stat').read_text().split()[2] != 'Z':
        time.sleep(0.05)


def test_it_runs_no_module_of_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ('re', 'json', 'struct'):
        (tmp_path / f'{module}.py').write_text('raise SystemExit(1)')
    monkeypatch.chdir(tmp_path)
    worker = Worker('tinychat_core.workers.json_check', 64 << 20)
    worker.start()
    worker.stop_if_idle()


def test_a_schema_that_takes_hours_is_refused_and_others_go_on() -> None:
    other = OutputConstraint('', '[ab]+c', VOCABULARY, VOCABULARY.vocab_size)
    other.accept(ord('a'))
    with pytest.raises(InvalidParameterError, match='json_schema is too complex: following it takes more than'):
        OutputConstraint(HOURS, '', VOCABULARY, VOCABULARY.vocab_size)
    assert not other.accept(ord('b'))  # in a new process, which has been told what came before
    assert other.accept(ord('c'))
    assert other.matches('abac') and not other.matches('ab')


def test_a_goal_s_check_does_not_wait_for_what_takes_long() -> None:
    constraint.check(HOURS, '')


def test_compiling_ends_with_a_cancel() -> None:
    cancel = CancelFlag()
    cancel.set()
    with pytest.raises(WorkerCanceledError):
        OutputConstraint(HOURS, '', VOCABULARY, VOCABULARY.vocab_size, cancel)
