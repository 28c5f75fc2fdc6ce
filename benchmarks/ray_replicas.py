# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare one replica of deploy/ray with two, each with one thread, alternating in one run.

    .venv/bin/python benchmarks/ray_replicas.py models/smollm2-135m-instruct --serve ray-env/bin/serve [--rounds 3]

`--serve`: Ray Serve's program in an environment as deploy/ray/README.md describes it. Every measurement sends the same
requests: those of http_clients.py with --clients, --requests and --tokens. Prints each one, and the medians.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import signal
from statistics import median
import subprocess
import sys
from tempfile import TemporaryDirectory
from time import sleep
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
APPLICATION = ROOT / 'deploy' / 'ray'
URL = 'http://127.0.0.1:8000/v1'
PATIENCE = 300  # [s] for Ray's start


def measure(serve: str, model: Path, replicas: int, clients: list[str]) -> float:
    """Return the tokens per second of all clients together."""
    config = {'applications': [{'name': 'tinychat', 'route_prefix': '/', 'import_path': 'tinychat_app:build',
                                'args': {'model': str(model.resolve()), 'threads': 1},
                                'deployments': [{'name': 'TinyChat', 'num_replicas': replicas}]}]}
    with TemporaryDirectory() as folder:
        file = Path(folder) / 'serve.yaml'
        file.write_text(json.dumps(config))  # JSON is YAML
        environment = dict(os.environ, RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S='60', RAY_USAGE_STATS_ENABLED='0')
        server = subprocess.Popen([serve, 'run', str(file)], cwd=APPLICATION, env=environment, start_new_session=True,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            await_models(server)
            done = subprocess.run([sys.executable, ROOT / 'benchmarks' / 'http_clients.py', URL, *clients], text=True,
                                  stdout=subprocess.PIPE, check=True)
        finally:
            os.killpg(server.pid, signal.SIGINT)
            server.wait()
    print(f'{replicas} replicas: {done.stdout.strip()}', flush=True)
    return float(done.stdout.partition(' tokens/s')[0].rpartition(' ')[2])


def await_models(server: subprocess.Popen[bytes]) -> None:
    """Wait until the application answers."""
    for _ in range(PATIENCE):
        if server.poll() is not None:
            raise SystemExit(f'{server.args[0]} has ended; start it by hand to see why')  # type: ignore[index]
        try:
            with urlopen(f'{URL}/models', timeout=5):
                return
        except (URLError, OSError):
            sleep(1)
    raise SystemExit('Ray Serve does not answer')


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', type=Path)
    parser.add_argument('--serve', default='serve')
    parser.add_argument('--rounds', type=int, default=3)
    for name, default in (('clients', '8'), ('requests', '3'), ('tokens', '48')):
        parser.add_argument(f'--{name}', default=default)
    arguments = parser.parse_args()
    clients = ['--clients', arguments.clients, '--requests', arguments.requests, '--tokens', arguments.tokens]
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(arguments.rounds):
        for replicas, speeds in found.items():
            speeds.append(measure(arguments.serve, arguments.model, replicas, clients))
    one, two = median(found[1]), median(found[2])
    print(f'medians: {one:.1f} tokens/s with one replica, {two:.1f} with two: {two / one:.2f} times as many')


if __name__ == '__main__':
    main()
