# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A node as a process: its executor, and an end that every client hears of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import sys
from threading import Event, Thread
from time import sleep
from typing import Any

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import MultiThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from tinychat_core.end_signal import on_end_signal
from tinychat_core.errors import TinyChatError
from tinychat_core.loading.memory_plan import MAX_PARALLEL
from tinychat_ros.distribution import end_spinning
from tinychat_ros.garbage import Collector, PERIOD
from tinychat_ros.guard import spin
from tinychat_ros.heap import share_one_heap

SWITCH_INTERVAL = 0.0002  # [s]
QUOTED = """-p "NAME:='a: b'" or -p "NAME:=''\""""


def run(make_node: Callable[[Callable[[], None]], Any], args: list[str] | None,
        is_busy: Callable[[Any], bool] | None = None) -> int:
    """
    Serve until SIGINT or SIGTERM; then call the node's end(), which ends its goals.

    rclpy's own signal handlers would end the context first, and no client would get its result. `make_node`
    gets a function to call where the node gives up. `is_busy` tells whether somebody waits for the node, and garbage is
    looked for at other times; None: whenever Python likes. Returns the exit code: 2 for what the user can mend,
    after one line that says what, 1 where the executor has failed. Exits the process with 1 where it does not end
    within LONGEST_END of a signal.
    """
    stop, over = Event(), Event()
    exit_code = 0

    def end(code: int) -> None:
        nonlocal exit_code
        exit_code = code
        stop.set()

    def give_up() -> None:
        if not stop.is_set():  # a signal that interrupts loading is a clean end
            end(2)

    share_one_heap()  # before DDS starts its threads
    # A cancel passes five threads. Beside long texts that are prepared, each would wait 5 ms for the interpreter.
    sys.setswitchinterval(SWITCH_INTERVAL)
    on_end_signal(stop.set, 'tinychat_ros: the running goal or transition')
    try:
        _refuse_others(args or sys.argv)
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = make_node(give_up)
    except (NameValidationException, ParameterException, RuntimeError, TinyChatError, UnicodeError) as error:
        # Of bad arguments and start values.
        print(f'tinychat_ros: error: {_explained(error)}', file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    # Each running goal occupies a thread; threads start when they are first needed.
    executor = MultiThreadedExecutor(num_threads=MAX_PARALLEL + 3)
    executor.add_node(node)

    def spin_on() -> None:
        error = spin(executor, node, over.is_set)
        if error is not None:  # a launch file may start the process again
            node.get_logger().fatal(f'the executor failed: {error!r}')
            end(1)

    spinning = Thread(target=spin_on, name='executor', daemon=True)
    spinning.start()
    collector = None if is_busy is None else Collector(lambda: is_busy(node))
    while not stop.wait(PERIOD):
        if collector is not None:
            collector.look()
    if exit_code != 1:
        node.end()
        sleep(0.3)  # the results of the goals are on their way
        over.set()
        end_spinning(executor, spinning)
        node.destroy_node()
    rclpy.try_shutdown()
    return exit_code


def _explained(error: Exception) -> str:
    """Return one line, with what to write where rcl only tells that it could not read something."""
    line = ' '.join(str(error).split())
    if isinstance(error, UnicodeError):
        return 'the arguments must be UTF-8'
    if 'parameter override rule' in line:
        return f'{line}; the value is YAML and needs quotes that the shell does not remove, as in {QUOTED}'
    if 'No value at line' in line:
        return f"{line}; an empty string is ''"
    return line


def _refuse_others(arguments: Sequence[str]) -> None:
    """Raise RuntimeError for what no part of ROS reads, and for NAME:=VALUE alone, an old form of a remapping."""
    own = arguments[1:arguments.index('--ros-args')] if '--ros-args' in arguments else arguments[1:]
    # Those that rcl has always taken begin with underscores: __ns:=, __node:=.
    unknown = [text for text in own if ':=' in text and not text.startswith('_')] or remove_ros_args([*arguments])[1:]
    if unknown:
        raise RuntimeError(f"unknown argument '{unknown[0]}'; pass a parameter as --ros-args -p NAME:=VALUE, and a "
                           'remapping as --ros-args -r OLD:=NEW')
