# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Ask one question over ROS 2: `demo.py --model DIRECTORY PROMPT`.

Node and client are two processes. They use a ROS domain that is limited to this machine, so that they do not disturb a
robot on the network. Whatever ends the demo, Ctrl-C included, ends both.
"""

from __future__ import annotations

import argparse
import ctypes
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time
from types import FrameType

from tinychat_ros.distribution import this_machine_only

BIN = Path(sys.executable).parent
PARAMETERS = Path(__file__).resolve().parents[1] / 'config' / 'demo.yaml'
PR_SET_PDEATHSIG = 1
PATIENCE = 10.0  # [s] before the next, stronger signal


def environment(scratch: str) -> dict[str, str]:
    """Return environment variables that limit ROS 2 to this machine and write its logs to `scratch`."""
    # Domains 1 to 101 use ports below the ephemeral ones.
    return os.environ | this_machine_only() | {'ROS_DOMAIN_ID': str(1 + os.getpid() % 101), 'ROS_LOG_DIR': scratch}


def ends_with_us() -> None:
    """In a child: end when the parent is killed, and do not receive the terminal's Ctrl-C; the parent forwards it."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process with SIGINT, then SIGTERM, then SIGKILL."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            continue


def interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(model: str, prompt: str) -> int:
    """Start the node and the client, wait, end both. Return the exit code of the one that failed first."""
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix='tinychat-demo-') as scratch, \
            open(Path(scratch, 'node.txt'), 'wb+') as log:
        env = environment(scratch)
        try:
            command = [BIN / 'chat_node', '--ros-args', '--params-file', PARAMETERS, '-p', f'model:={model}',
                       '-p', 'exit_on_failure:=true']
            node = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    preexec_fn=ends_with_us)
            started.append(node)
            client = subprocess.Popen([BIN / 'chat_client', '--timeout', '60', '--', prompt], env=env,
                                      preexec_fn=ends_with_us)
            started.append(client)
            while client.poll() is None and node.poll() is None:
                time.sleep(0.02)
            if client.returncode is not None:
                return client.returncode
            log.seek(0)
            print(f'demo: the node exited; its output:\n{log.read().decode(errors="replace")}', file=sys.stderr)
            return node.returncode or 1
        except KeyboardInterrupt:
            return 130
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the cleanup
            for process in reversed(started):  # the client first, so that it cancels its goal
                end(process)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', required=True, help='directory of a split checkpoint')
    parser.add_argument('prompt', help='prompt to send')
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    print(f'> {arguments.prompt}', flush=True)
    sys.exit(run(arguments.model, arguments.prompt))
