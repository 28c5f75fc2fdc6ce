# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a model will take, known before anything of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os
from pathlib import Path
from typing import Any

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.errors import InvalidParameterError

# For each kind of weights the precisions that it runs in, the default first.
PRECISIONS = {'W4': ('W4A8', 'W4A16'), 'W8': ('W8A8', 'W8A16'), 'W16': ('W16A16',)}
_PASS_ROWS = 128  # tokens whose activations the decoder keeps at once


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of each part, for a KV cache of `max_seq_len` positions."""

    max_seq_len: int
    weights_bytes: int
    kv_cache_bytes: int
    buffers_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.kv_cache_bytes + self.buffers_bytes


def plan(manifest: Manifest, max_seq_len: int | None = None, precision: str | None = None) -> MemoryPlan:
    """
    Return the plan; `max_seq_len` None is the model's context, `precision` None what the engine takes then.

    Raises InvalidParameterError for more than the context, or a precision that the weights do not have.
    """
    model = manifest.model
    limit: int = model['context_length']
    if max_seq_len is not None and not 1 <= max_seq_len <= limit:
        raise InvalidParameterError(f"max_seq_len must be 1 .. {limit} (the model's context length), "
                                    f'not {max_seq_len}')
    positions = max_seq_len or limit
    return MemoryPlan(max_seq_len=positions, weights_bytes=manifest.weights_bytes,
                      kv_cache_bytes=positions * _position_bytes(manifest, precision),
                      buffers_bytes=_buffers_bytes(model))


def largest_context(manifest: Manifest, memory: int, precision: str | None = None) -> int:
    """Return the positions that `memory` bytes have room for beside the weights, within the context."""
    left = memory - manifest.weights_bytes - _buffers_bytes(manifest.model)
    return int(max(0, min(left // _position_bytes(manifest, precision), manifest.model['context_length'])))


def available_memory(meminfo: Path = Path('/proc/meminfo')) -> int:
    """Return the bytes that the system says a new process may take without swapping."""
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith('MemAvailable:'):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    # Not Linux: what the machine has is the best that is known.
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def _position_bytes(manifest: Manifest, precision: str | None) -> int:
    """Return the bytes of keys and values of a position in all layers: fp32 at 16-bit activations, else fp16."""
    choices = PRECISIONS[manifest.weights]
    if precision is not None and precision not in choices:
        raise InvalidParameterError(f"precision '{precision}' does not fit {manifest.weights} weights; "
                                    f'use {" or ".join(choices)}')
    number = 4 if (precision or choices[0]).endswith('A16') else 2
    model = manifest.model
    return int(2 * model['layers'] * model['kv_heads'] * model['head_dim'] * number)


def _buffers_bytes(model: Mapping[str, Any]) -> int:
    """Return the bytes of the activations, fp32, of a chunk of a prompt, and of the logits."""
    attention = (2 * model['heads'] + 2 * model['kv_heads']) * model['head_dim']
    row = 3 * model['hidden_size'] + attention + 3 * model['intermediate_size']
    return int(4 * (_PASS_ROWS * row + model['vocab_size']))
