# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Requests that schemathesis makes up from the server's own OpenAPI description: none gives a 500, none hangs.

`make test-large` runs TINYCHAT_SCHEMATHESIS_CASES of them, 10,000 unless the variable says otherwise.
"""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest
from serving_http import Served
from tiny_engine import tiny_engine

CASES = int(os.environ.get('TINYCHAT_SCHEMATHESIS_CASES', '10000'))
SECONDS = 20.0  # longest time until an answer, on a busy machine


@pytest.fixture
def served(tmp_path: Path) -> Any:
    """Return a server over a real engine, whose answers are short."""
    from tinychat_core.sampling import SamplingParams
    from tinychat_core.server.served_model import Defaults

    engine: Any = tiny_engine(tmp_path)
    served = Served(engine)
    served.defaults = Defaults(SamplingParams(max_new_tokens=8), publish_period=0.0)
    yield served
    served.close()


@pytest.mark.large
def test_no_request_gives_a_500_or_hangs(served: Served) -> None:
    paths = served.client.get('/openapi.json').json()['paths']
    # Of a request without a body and parameters, there is only one.
    operations = sum('requestBody' in operation or 'parameters' in operation
                     for methods in paths.values() for operation in methods.values())
    run = subprocess.run(
        [sys.executable, '-m', 'schemathesis.cli', 'run', f'{served.url}/openapi.json', '--phases', 'fuzzing',
         '--checks', 'not_a_server_error', '--max-examples', str(-(-CASES // operations)), '--mode', 'all',
         '--request-timeout', str(SECONDS), '--generation-deterministic', '--no-color'],
        capture_output=True, text=True)
    print(run.stdout[-5000:])
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert served.chat().status_code == 200
