# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The precisions: for each kind of weights, how wide the activations are that they are multiplied with."""
from __future__ import annotations

from collections.abc import Mapping

from tinychat_core.errors import InvalidParameterError

# Backend -> kind of weights -> precision -> what the native decoder multiplies with; the default first. On the CPU 'W4'
# and 'W8' give the answers of fp32 activations with 16 bits: two int8 digits or bf16, whichever is faster for so many
# tokens. 'A16' is fp32 there, 'A8' int8. On CUDA 'A16' is fp16 or bf16.
PRECISIONS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    'cpu': {
        'W4': {'W4': 'sixteen_bits', 'W4A16': 'float', 'W4A8': 'bytes'},
        'W8': {'W8': 'sixteen_bits', 'W8A16': 'float', 'W8A8': 'bytes'},
        'W16': {'W16A16': 'float'},
    },
    'cuda': {
        'W4': {'W4A16': 'float'},
        'W8': {'W8A16': 'float', 'W8A8': 'bytes'},
        'W16': {'W16A16': 'float'},
    },
}


def choose_precision(precision: str | None, weights: str, backend: str) -> tuple[str, str]:
    """
    Return a precision and what the native decoder multiplies with; `precision` None is the default.

    Raises InvalidParameterError where the backend, cpu or cuda, has it not for such weights.
    """
    choices = PRECISIONS[backend][weights]
    chosen = next(iter(choices)) if precision is None else precision
    if chosen not in choices:
        *first, last = choices
        raise InvalidParameterError(f"precision '{precision}' does not fit {weights} weights; "
                                    f"use {', '.join(first)}{' or ' if first else ''}{last}")
    return chosen, choices[chosen]
