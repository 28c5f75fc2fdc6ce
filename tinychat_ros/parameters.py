# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: one table, and what reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter
import yaml

from tinychat_core.errors import shown
from tinychat_ros.parameter_values import convert, Value

# When a parameter may change.
ALWAYS = 'at any time; goals that were accepted before keep the old value'
UNCONFIGURED = 'while the node is unconfigured'
NEVER = 'only at the start of the node'


@dataclass(frozen=True)
class Declared:
    """One parameter; `low` .. `high` is the range of a number, `choices` what a text may be."""

    name: str
    default: Value
    description: str
    changes: str = ALWAYS
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        """Return what `ros2 param describe` tells."""
        descriptor = ParameterDescriptor(description=self.description, read_only=self.changes == NEVER)
        constraints = [f'One of: {", ".join(self.choices)}.'] if self.choices else []
        if self.changes != NEVER:
            constraints.append(f'Changes {self.changes}.')
        descriptor.additional_constraints = ' '.join(constraints)
        if self.low is not None and self.high is not None:
            if isinstance(self.default, int):
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.low), to_value=int(self.high))]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=self.low, to_value=self.high)]
        return descriptor


BIG = 2**31 - 1

PARAMETERS = (
    Declared('autostart', True, 'Configure and activate at once; false: a lifecycle manager does it.', NEVER),
    Declared('exit_on_failure', False,
             'End the process, with exit code 2, when autostart fails; false: it stays, unconfigured, and /diagnostics '
             'says why.', NEVER),
    Declared('model', '', 'Directory of a split checkpoint; empty: the default model, where there is one.',
             UNCONFIGURED),
    Declared('precision', '', 'W4, W4A16, W4A8, W8, W8A16, W8A8 or W16A16; empty: as the weights are stored.',
             UNCONFIGURED),
    Declared('backend', 'auto', 'What decodes.', UNCONFIGURED, choices=('auto', 'cpu', 'cuda')),
    Declared('threads', 0, 'Threads that decode; 0: every physical core that the process may use.',
             UNCONFIGURED, low=0, high=1024),
    Declared('nice', 0, 'Added to the niceness of the threads that decode and serve, so that control loops go first.',
             NEVER, low=0, high=19),
    Declared('max_seq_len', 0, "Positions of the KV cache; 0: the model's context length, or what has room in memory.",
             UNCONFIGURED, low=0, high=BIG),
    Declared('kv_cache_dtype', 'auto', 'What the KV cache holds; int8: half of the memory of 16 bits.', UNCONFIGURED,
             choices=('auto', 'int8')),
    Declared('memory', '', 'What the model may take, such as 6GiB; empty: what is left when it loads, without swap.',
             UNCONFIGURED),
    Declared('verify', 'full', 'What is compared when a model is loaded: the checksums of everything, or sizes only.',
             UNCONFIGURED, choices=('full', 'size')),
    Declared('kv_caches', 2,
             'KV caches that conversations share, a new one only when it is needed; without one of its own a '
             'conversation keeps its turns and reads them again.', UNCONFIGURED, low=1, high=1000),
    Declared('system_prompt', '', "The system prompt of goals that bring none; empty: the model's own."),
    Declared('max_new_tokens', 512, 'Longest answer of goals that set none [tokens].', low=1, high=BIG),
    Declared('sampling.temperature', 0.7, 'Of goals that set none; 0: greedy.', low=0.0, high=100.0),
    Declared('sampling.top_k', 40, 'Only the likeliest k tokens; 0: off.', low=0, high=BIG),
    Declared('sampling.top_p', 0.95, 'Only the likeliest tokens with this mass; 1: off.', low=0.0, high=1.0),
    Declared('sampling.min_p', 0.0, 'Only tokens at least so likely as the likeliest, times this; 0: off.',
             low=0.0, high=1.0),
    Declared('sampling.repetition_penalty', 1.0, 'Divides the logits of tokens that occurred; 1: off.',
             low=0.01, high=100.0),
    Declared('sampling.dry_multiplier', 0.0,
             'How strongly DRY ends repetitions of several tokens, 0.8 is usual; 0: off. Never of structured answers.',
             low=0.0, high=100.0),
    Declared('sampling.dry_base', 1.75, 'By what DRY multiplies its penalty with each repeated token more.',
             low=1.0, high=100.0),
    Declared('sampling.dry_allowed_length', 2, 'Longest repetition that DRY leaves alone [tokens].', low=1, high=BIG),
    Declared('sampling.dry_penalty_last_n', -1, 'How many of the last tokens DRY looks at; -1: all, 0: none.',
             low=-1, high=BIG),
    Declared('sampling.seed', -1, 'The same seed gives the same answer; -1: a new one for each goal.',
             low=-1, high=2**63 - 1),
    Declared('prompt_conversation_id', '',
             'The conversation of what comes through ~/prompt; empty: each prompt is answered without memory.'),
    Declared('time_limit', 0.0, 'Longest time from acceptance to the end of a goal [s]; 0: none.',
             low=0.0, high=1e9),
    Declared('busy_policy', 'queue',
             'What a goal meets while another runs: it waits, is rejected, or ends the other one.',
             choices=('queue', 'reject', 'preempt')),
    Declared('queue_depth', 8, 'Goals that may wait where busy_policy is queue.', low=1, high=100000),
    Declared('on_deactivate', 'abort',
             'What becomes of the goal that runs; those that wait are always aborted.',
             choices=('abort', 'finish')),
    Declared('on_client_lost', 'finish',
             'What becomes of a goal when all who listened to its feedback at first are gone, of which ROS hears '
             'at once, or up to 20 s after they were killed.', choices=('finish', 'cancel')),
    Declared('publish_period', 0.02, 'Pieces of an answer are joined for so long [s]; 0: a message a token.',
             low=0.0, high=10.0),
    Declared('sentence_topic', '',
             'Topic for whole sentences of the answers (std_msgs/String), for a node that speaks; empty: none.', NEVER),
)


TABLE = {declared.name: declared for declared in PARAMETERS}


def declare(node: Node, is_unconfigured: Callable[[], bool]) -> None:
    """
    Declare the whole table on a node, and watch over changes.

    Raises rclpy's InvalidParameterValueException for a start value (command line, parameter file) of another type,
    out of range or not among the choices.
    """
    def check(parameters: Sequence[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            declared = TABLE.get(parameter.name)
            if declared is None:
                continue
            if declared.choices and parameter.value not in declared.choices:
                return SetParametersResult(successful=False, reason=(
                    f"{declared.name} must be {' or '.join(declared.choices)}, not {shown(parameter.value)}"))
            if declared.changes == UNCONFIGURED and not is_unconfigured():
                return SetParametersResult(successful=False, reason=(
                    f'{declared.name} changes only {UNCONFIGURED}: deactivate and clean up first'))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)  # before the declarations: it sees the start values, too
    for declared in PARAMETERS:
        value = declared.default
        # rclpy would take an override as it is, and refuse 0 for 0.0.
        if declared.name in node._parameter_overrides:
            value = _start_value(node, declared)
        node.declare_parameter(declared.name, value, declared.descriptor(), ignore_override=True)


def _start_value(node: Node, declared: Declared) -> Value:
    value = node._parameter_overrides[declared.name].value
    try:
        return convert(declared.name, value, type(declared.default), node.get_logger().warning)
    except ValueError as error:
        raise InvalidParameterValueException(declared.name, value, str(error)) from None


def warn_of_unknown(node: Node) -> None:
    """Log which start values belong to no parameter of a node, once all are declared: ROS ignores them in silence."""
    unknown = [name for name in node._parameter_overrides if not node.has_parameter(name)]
    for name in unknown[:5]:
        # Of sampling.temperature most people remember the second half.
        names = {known: known for known in TABLE} | {known.rpartition('.')[2]: known for known in TABLE}
        close = get_close_matches(name, names, 1)
        node.get_logger().warning(
            f'there is no parameter {shown(name)}, and its value is ignored' +
            (f'; did you mean {names[close[0]]}?' if close else ''))


def changes(node: Node, parameters: Sequence[Parameter[Any]]) -> list[Parameter[Any]]:
    """
    Return what differs from the values that a node has, each in the type that is declared.

    What does not differ needs no leave to change: so a node takes its own dump. Raises ValueError with one line for a
    value of another type.
    """
    new = []
    for parameter in parameters:
        if _is_unchanged(node, parameter):
            continue
        # Those that rclpy has declared, such as use_sim_time, are texts, numbers and truth values as well.
        kind = type(node.get_parameter(parameter.name).value) if node.has_parameter(parameter.name) else None
        if kind in (str, int, float, bool):
            value = convert(parameter.name, parameter.value, kind, node.get_logger().warning)
            parameter = Parameter(parameter.name, value=value)
        if not _is_unchanged(node, parameter):
            new.append(parameter)
    return new


def _is_unchanged(node: Node, parameter: Parameter[Any]) -> bool:
    """Tell whether a node has this value, also where `ros2 param load` takes a dump's text 'yes' for a truth value."""
    if not node.has_parameter(parameter.name):
        return False
    old = node.get_parameter(parameter.name)
    if isinstance(old.value, str) and isinstance(parameter.value, (bool, int, float)):
        return _reads_as(old.value, parameter.value)
    return bool(old.get_parameter_value() == parameter.get_parameter_value())


def _reads_as(text: str, value: Value) -> bool:
    if len(text) > 100:  # neither a number nor a word
        return False
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return type(read) is type(value) and bool(read == value)
