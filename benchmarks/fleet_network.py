# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
500 goals of a robot with two servers, each in its own network namespace, while servers and the network fail.

    sudo .venv/bin/python benchmarks/fleet_network.py [--rate 20mbit] [--delay 10ms]

Each scenario prints how its goals ended, how often a goal had more or fewer than one terminal state, the longest time
past the time limit, and percentiles of the time to the first token. The robot's model is a scripted one: 0.3 s to its
first token. tc shapes the links; where the kernel has no netem, there is no delay, and the output says so. The network
is cut by routes that drop the servers' packets without a word, as radio does.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
import os
from pathlib import Path
import random
import signal
import ssl
import subprocess
import sys
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic, sleep
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / folder) for folder in (
    'test', 'test/core', 'test/core/serving', 'test/core/remote'))]

from fleet import Fleet  # noqa: E402
from scripted_engine import ScriptedEngine  # noqa: E402
import scripted_server as scripted  # noqa: E402

ROBOT = 'fleet-robot'
SERVERS = {'a': '10.77.1', 'b': '10.77.2'}
PORT = 8000
TIME_LIMIT = 6.0
LIMITS = {'connect_timeout': 0.5, 'first_token_timeout': 1.0, 'stall_timeout': 1.0, 'probe_period': 1.0, 'max_goals': 8}
LOCAL_SECONDS = 0.3
FAULTS: dict[str, scripted.Behaviour] = {
    'stall': scripted.says_nothing, 'stall after': scripted.stalls(['Maps ']), '429': scripted.refuses(429),
    '500': scripted.refuses(500), 'garbage': scripted.streams_raw(b'data: {"choices": \xff\n\n'),
    'cut': scripted.cuts(), 'cut after': scripted.cuts(['Maps '])}
WORDS = ['Maps ', 'help ', 'robots ', 'to ', 'find ', 'their ', 'way.']


def run(*command: str) -> None:
    """Run a command; show its output if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'{" ".join(command)}: {done.stderr.strip()}')


# --- the network ----------------------------------------------------------------------------------------------------

def build_network(rate: str, delay: str) -> str:
    """Create the namespaces and their links; return how they are shaped."""
    remove_network()
    run('ip', 'netns', 'add', ROBOT)
    run('ip', '-n', ROBOT, 'link', 'set', 'lo', 'up')
    shapes = [['netem', 'delay', delay, 'rate', rate], ['tbf', 'rate', rate, 'burst', '32kbit', 'latency', '50ms']]
    shape: list[str] = []
    for name, net in SERVERS.items():
        run('ip', 'netns', 'add', f'fleet-{name}')
        run('ip', 'link', 'add', f'fleet-r{name}', 'netns', ROBOT, 'type', 'veth', 'peer', 'name', 'eth0', 'netns',
            f'fleet-{name}')
        for namespace, device, host in ((ROBOT, f'fleet-r{name}', 1), (f'fleet-{name}', 'eth0', 2)):
            run('ip', '-n', namespace, 'address', 'add', f'{net}.{host}/24', 'dev', device)
            run('ip', '-n', namespace, 'link', 'set', device, 'up')
            for shape in shapes:
                command = ['ip', 'netns', 'exec', namespace, 'tc', 'qdisc', 'replace', 'dev', device, 'root', *shape]
                if subprocess.run(command, capture_output=True).returncode == 0:
                    break
            else:
                raise SystemExit('tc has neither netem nor tbf')
    return ' '.join(shape)


def remove_network() -> None:
    """Remove the namespaces, and the links with them."""
    for namespace in (ROBOT, *(f'fleet-{name}' for name in SERVERS)):
        subprocess.run(['ip', 'netns', 'delete', namespace], capture_output=True)


def cut(is_cut: bool) -> None:
    """Drop the packets of both servers, or let them through again."""
    for name, net in SERVERS.items():
        run('ip', '-n', f'fleet-{name}', 'route', 'add' if is_cut else 'delete', 'blackhole', f'{net}.1/32')


# --- the servers ----------------------------------------------------------------------------------------------------

def serve(arguments: argparse.Namespace) -> None:
    """Be a server, until a signal."""
    chance = random.Random(arguments.seed)
    faults = [FAULTS[name] for name in arguments.faults.split(',') if name]
    good = scripted.answers(WORDS, before=arguments.before, between=0.02)

    def behave(handler: scripted.Handler) -> None:
        (chance.choice(faults) if faults and chance.random() < arguments.share else good)(handler)

    tls = None
    if arguments.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.certificate)
    scripted.ScriptedServer(behave, tls=tls, port=PORT, host='0.0.0.0')
    signal.pause()


class Server:
    """A server in its namespace."""

    def __init__(self, name: str, **options: Any) -> None:
        """Start it, and wait until it listens."""
        self.name = name
        self._options = [f'--{option}={value}' for option, value in options.items()]
        self.start()

    def start(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(['ip', 'netns', 'exec', f'fleet-{self.name}', sys.executable, __file__,
                                          '--serve', *self._options])
        command = ['ip', 'netns', 'exec', f'fleet-{self.name}', 'ss', '-Hltn', f'sport = :{PORT}']
        while not subprocess.run(command, capture_output=True).stdout:
            sleep(0.05)

    def kill(self) -> None:
        """Kill it at once."""
        self._process.kill()
        self._process.wait()


# --- the scenarios --------------------------------------------------------------------------------------------------

class Scenario:
    """Goals of one fleet, and how they ended."""

    def __init__(self, title: str, order: str = 'a b local', scheme: str = 'http', **config: Any) -> None:
        """Open the fleet."""
        self.title = title
        engine = ScriptedEngine(context_length=1000)
        engine.prefill_delay = LOCAL_SECONDS
        urls = {name: f'{scheme}://{net}.2:{PORT}/v1' for name, net in SERVERS.items()}
        self.fleet = Fleet(engine, order, urls, remote=LIMITS, **config)
        self.goals: list[Any] = []
        self.ended: dict[Any, float] = {}

    def send(self) -> Any:
        """Send a goal."""
        asked = self.fleet.send(time_limit=TIME_LIMIT)
        self.goals.append(asked)
        return asked

    def ask(self, count: int, at_once: int = 1, pause: float = 0.0, beside: Callable[[], None] | None = None) -> None:
        """Send goals, some at once; `beside` is called after each of them was sent."""
        left = iter(range(count))

        def work() -> None:
            for _ in left:
                asked = self.send()
                if beside is not None:
                    beside()
                asked.result()
                self.ended[asked] = monotonic()
                sleep(pause)

        threads = [Thread(target=work) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def close(self) -> list[float]:
        """Report, and return the sorted times to the first token."""
        from tinychat_core.serving.results import Finished

        ends: Counter[str] = Counter()
        wrong, late, first = 0, 0.0, []
        for asked in self.goals:
            result = asked.result()
            code = result.error_code.name if result.error_code else result.finish_reason.value
            ends[f'{result.served_by or "-"}: {code}'] += 1
            wrong += sum(isinstance(event, Finished) for event in asked.events) != 1
            late = max(late, self.ended[asked] - asked.handle.accepted_at - TIME_LIMIT)
            if result.new_tokens:
                first.append(result.queue_time + result.time_to_first_token)
        self.fleet.close()
        first.sort()
        shown = ', '.join(f'{end} {count}' for end, count in sorted(ends.items()))
        print(f'{self.title}\n  {len(self.goals)} goals: {shown}\n  not exactly one terminal state: {wrong}; '
              f'longest over the time limit: {max(late, 0):.2f} s\n  first token, p50 p95 p99 max [s]: '
              f'{" ".join(f"{percentile(first, p):.2f}" for p in (0.5, 0.95, 0.99, 1.0))}', flush=True)
        return first


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the sorted values does not exceed."""
    return values[max(0, min(len(values) - 1, round(share * len(values) + 0.5) - 1))] if values else 0.0


def measure() -> None:
    """Run all scenarios, in the robot's namespace."""
    servers = [Server('a', seed=1), Server('b', seed=2)]
    scenario = Scenario('prefer, all healthy')
    scenario.ask(40, at_once=2)
    scenario.close()
    restart(servers, faults=','.join(FAULTS), share=0.4)
    scenario = Scenario('prefer, 40% of requests fail: ' + ', '.join(FAULTS))
    scenario.ask(160, at_once=4)
    scenario.close()
    for title, seconds, delay in (('before', 1.0, 0.2), ('after', 0.0, 0.08)):
        restart(servers, before=seconds)
        scenario = Scenario(f'prefer, the first server is killed {title} the first token')

        def kill(delay: float = delay) -> None:
            sleep(delay)
            servers[0].kill()

        for _ in range(10):
            scenario.ask(1, beside=kill)
            servers[0].start()
            sleep(1.5)  # a probe finds it again
        scenario.close()
    restart(servers)
    scenario = Scenario('prefer, the network is cut for 30 s while 60 goals come')
    scenario.ask(5)
    cut(True)
    begin = monotonic()
    scenario.ask(50, pause=0.25)
    sleep(max(0.0, 30 - (monotonic() - begin)))
    cut(False)
    sleep(2.5)
    scenario.ask(5)
    scenario.close()
    with TemporaryDirectory() as folder:
        certificate = Path(folder) / 'all.pem'
        run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj',
            '/CN=other', '-keyout', f'{folder}/key.pem', '-out', f'{folder}/certificate.pem')
        certificate.write_text((Path(folder) / 'key.pem').read_text() + (Path(folder) / 'certificate.pem').read_text())
        restart(servers, certificate=certificate)
        scenario = Scenario('prefer, a certificate that nobody trusts', scheme='https')
        scenario.ask(20, at_once=2)
        scenario.close()
    restart(servers[:1], faults='stall', share=0.05)
    restart(servers[1:])
    p99 = {}
    for policy in ('prefer', 'hedge'):
        restart(servers[:1], faults='stall', share=0.05)
        scenario = Scenario(f'{policy}, the first server stalls in 5% of requests', policy=policy, hedge_delay=0.2)
        scenario.ask(100)
        p99[policy] = percentile(scenario.close(), 0.99)
    print(f'p99 of hedge / prefer: {p99["hedge"] / p99["prefer"]:.2f}')
    for server in servers:
        server.kill()


def restart(servers: list[Server], **options: Any) -> None:
    """Start servers anew, with other options."""
    for i, server in enumerate(servers):
        server.kill()
        servers[i].__init__(server.name, seed=i + 1, **options)  # type: ignore[misc]


def main() -> None:
    """Build the network, and measure inside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rate', default='20mbit')
    parser.add_argument('--delay', default='10ms')
    for name, default in (('faults', ''), ('certificate', '')):
        parser.add_argument(f'--{name}', default=default, help=argparse.SUPPRESS)
    for name in ('share', 'before', 'seed'):
        parser.add_argument(f'--{name}', type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument('--serve', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments)
    elif arguments.inside:
        measure()
    else:
        shape = build_network(arguments.rate, arguments.delay)
        print(f'links: {shape}' + ('' if 'netem' in shape else ' (no delay: this kernel has no netem)'), flush=True)
        try:
            subprocess.run(['ip', 'netns', 'exec', ROBOT, sys.executable, __file__, '--inside'], env=os.environ)
        finally:
            remove_network()


if __name__ == '__main__':
    main()
