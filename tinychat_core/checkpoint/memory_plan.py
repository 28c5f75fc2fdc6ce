# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a model will take, known before anything of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.errors import InvalidParameterError

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


def plan(manifest: Manifest, max_seq_len: int | None = None) -> MemoryPlan:
    """Return the plan; `max_seq_len` None is the model's context. Raises InvalidParameterError beyond that."""
    model = manifest.model
    limit: int = model['context_length']
    if max_seq_len is not None and not 1 <= max_seq_len <= limit:
        raise InvalidParameterError(f"max_seq_len must be 1 .. {limit} (the model's context length), not {max_seq_len}")
    positions = max_seq_len or limit
    width = (model['heads'] + 2 * model['kv_heads']) * model['head_dim'] + model['heads'] * model['head_dim']
    row = 4 * (3 * model['hidden_size'] + width + 3 * model['intermediate_size'])
    return MemoryPlan(max_seq_len=positions, weights_bytes=sum(shard.bytes for shard in manifest.shards),
                      kv_cache_bytes=2 * 2 * model['layers'] * model['kv_heads'] * model['head_dim'] * positions,
                      buffers_bytes=_PASS_ROWS * row + 4 * model['vocab_size'])


def available_memory(meminfo: Path = Path('/proc/meminfo')) -> int:
    """Return the bytes that the system says a new process may take without swapping."""
    for line in meminfo.read_text().splitlines():
        if line.startswith('MemAvailable:'):
            return int(line.split()[1]) * 1024
    return 0
