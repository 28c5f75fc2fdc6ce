# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The precisions: for each kind of weights, the types of activations that they can be multiplied with."""
from __future__ import annotations

from collections.abc import Mapping

from tinychat_core.errors import InvalidParameterError

# Backend -> kind of weights -> precision -> `activations` of the native decoder; the default comes first. On the CPU
# 'W4' and 'W8' reach the results of fp32 activations with 16 bits: two int8 digits or bf16, whichever is faster for the
# number of tokens. 'A16' is fp32 there, 'A8' int8. On CUDA 'A16' is fp16 or bf16.
PRECISIONS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    'cpu': {
        'W4': {'W4': 'sixteen_bits', 'W4A16': 'float', 'W4A8': 'bytes'},
        'W5': {'W5': 'sixteen_bits', 'W5A16': 'float', 'W5A8': 'bytes'},
        'W6': {'W6': 'sixteen_bits', 'W6A16': 'float', 'W6A8': 'bytes'},
        'W8': {'W8': 'sixteen_bits', 'W8A16': 'float', 'W8A8': 'bytes'},
        'W16': {'W16A16': 'float'},
    },
    'cuda': {
        'W4': {'W4A16': 'float'},
        'W5': {'W5A16': 'float'},
        'W6': {'W6A16': 'float'},
        'W8': {'W8A16': 'float', 'W8A8': 'bytes'},
        'W16': {'W16A16': 'float'},
    },
}


def choose_precision(precision: str | None, weights: str, backend: str) -> tuple[str, str]:
    """
    Return the precision (None: the default) and the `activations` of the native decoder.

    Raises InvalidParameterError where the backend, cpu or cuda, does not support it for these weights.
    """
    choices = PRECISIONS[backend][weights]
    chosen = next(iter(choices)) if precision is None else precision
    if chosen not in choices:
        *first, last = choices
        raise InvalidParameterError(f"precision '{precision}' does not fit {weights} weights; "
                                    f"use {', '.join(first)}{' or ' if first else ''}{last}")
    return chosen, choices[chosen]
