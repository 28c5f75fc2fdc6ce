# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: one table, and what reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

Value = str | int | float | bool


@dataclass(frozen=True)
class Declared:
    """
    One parameter.

    `low` .. `high` is the range of a number, `choices` what a text may be. A parameter that is not `live` is read when
    the node starts and cannot be changed afterwards.
    """

    name: str
    default: Value
    description: str
    live: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


BIG = 2**31 - 1

PARAMETERS = (
    Declared('model', '', 'Directory of a split checkpoint; empty: the default model, where there is one.'),
    Declared('precision', '', 'W4A8, W4A16, W8A8, W8A16 or W16A16; empty: as the weights are stored.'),
    Declared('backend', 'auto', 'What decodes.', choices=('auto', 'cpu')),
    Declared('threads', 0, 'Threads that decode; 0: every physical core that the process may use.', low=0, high=1024),
    Declared('max_seq_len', 0, "Positions of the KV cache; 0: the model's context length.", low=0, high=BIG),
    Declared('system_prompt', '', "The system prompt of goals that bring none; empty: the model's own.", live=True),
    Declared('max_new_tokens', 512, 'Longest answer of goals that set none [tokens].', live=True, low=1, high=BIG),
    Declared('sampling.temperature', 0.7, 'Of goals that set none; 0: greedy.', live=True, low=0.0, high=100.0),
    Declared('sampling.top_k', 40, 'Only the likeliest k tokens; 0: off.', live=True, low=0, high=BIG),
    Declared('sampling.top_p', 0.95, 'Only the likeliest tokens with this mass; 1: off.', live=True, low=0.0, high=1.0),
    Declared('sampling.min_p', 0.0, 'Only tokens at least so likely as the likeliest, times this; 0: off.', live=True,
             low=0.0, high=1.0),
    Declared('sampling.repetition_penalty', 1.0, 'Divides the logits of tokens that occurred; 1: off.', live=True,
             low=0.01, high=100.0),
    Declared('sampling.seed', -1, 'The same seed gives the same answer; -1: a new one for each goal.', live=True,
             low=-1, high=2**63 - 1),
    Declared('time_limit', 0.0, 'Longest time from acceptance to the end of a goal [s]; 0: none.', live=True,
             low=0.0, high=1e9),
    Declared('busy_policy', 'queue', 'What a goal meets while another runs: it waits, is rejected, or ends the other.',
             live=True, choices=('queue', 'reject', 'preempt')),
    Declared('queue_depth', 8, 'Goals that may wait.', live=True, low=1, high=100000),
    Declared('publish_period', 0.02, 'Pieces of an answer are joined for so long [s]; 0: a message a token.', live=True,
             low=0.0, high=10.0),
)


def declare(node: Node) -> None:
    """Declare the whole table on a node, with descriptors, and refuse texts outside their choices."""
    for declared in PARAMETERS:
        node.declare_parameter(declared.name, declared.default, _descriptor(declared))
    for declared in PARAMETERS:  # values of the launch file do not pass through the callback below
        value = node.get_parameter(declared.name).value
        if declared.choices and value not in declared.choices:
            raise ValueError(f"parameter {declared.name} must be {' or '.join(declared.choices)}, not '{value}'")
    node.add_on_set_parameters_callback(_check)


def _descriptor(declared: Declared) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=declared.description, read_only=not declared.live)
    if declared.choices:
        descriptor.additional_constraints = 'One of: ' + ', '.join(declared.choices)
    if declared.low is not None and declared.high is not None:
        if isinstance(declared.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(declared.low), to_value=int(declared.high))]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=declared.low, to_value=declared.high)]
    return descriptor


def _check(parameters: Sequence[Parameter[Any]]) -> SetParametersResult:
    choices = {declared.name: declared.choices for declared in PARAMETERS if declared.choices}
    for parameter in parameters:
        allowed = choices.get(parameter.name)
        if allowed and parameter.value not in allowed:
            return SetParametersResult(successful=False, reason=f'{parameter.name} must be {" or ".join(allowed)}')
    return SetParametersResult(successful=True)
