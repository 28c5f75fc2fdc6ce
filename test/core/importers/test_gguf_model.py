# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""SmolLM2-135M-Instruct: every weight of the real file, and the memory that its import takes."""
from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import numpy as np
import plain_gguf
import pytest

from tinychat_core.loading.reader import Checkpoint

HEADS, KV_HEADS, LAYERS = 9, 3, 30


@pytest.fixture(scope='module')
def tensors(smollm2_gguf: Path) -> dict[str, plain_gguf.Tensor]:
    return plain_gguf.read(smollm2_gguf)[1]


@pytest.fixture(scope='module')
def checkpoint(smollm2_checkpoint: Path) -> Checkpoint:
    return Checkpoint.open(smollm2_checkpoint)


def halves(values: plain_gguf.Array, heads: int) -> plain_gguf.Array:
    """Return q or k with the rows of each head as two halves, which the file has in turns."""
    return values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def test_every_weight_is_what_the_file_means(checkpoint: Checkpoint, tensors: dict[str, plain_gguf.Tensor]) -> None:
    left = set(tensors)

    def take(name: str) -> plain_gguf.Array:
        left.remove(f'{name}.weight')
        return tensors[f'{name}.weight'].values()

    def same(name: str, values: plain_gguf.Array) -> None:
        entry = checkpoint.manifest.tensors[name]
        found = checkpoint.array(name) if entry.format == 'f32' else checkpoint.linear(name).dequantized()
        assert np.array_equal(found, values), name

    same('embedding', take('token_embd'))
    same('norm.weight', take('output_norm'))
    for i in range(LAYERS):
        theirs, ours = f'blk.{i}.', f'layers.{i}.'
        same(ours + 'attn_norm.weight', take(theirs + 'attn_norm'))
        same(ours + 'mlp_norm.weight', take(theirs + 'ffn_norm'))
        same(ours + 'attn.qkv', np.concatenate([halves(take(theirs + 'attn_q'), HEADS),
                                                halves(take(theirs + 'attn_k'), KV_HEADS), take(theirs + 'attn_v')]))
        same(ours + 'attn.o', take(theirs + 'attn_output'))
        same(ours + 'mlp.gate_up', np.concatenate([take(theirs + 'ffn_gate'), take(theirs + 'ffn_up')]))
        same(ours + 'mlp.down', take(theirs + 'ffn_down'))
    assert not left


def test_it_takes_no_more_than_the_file(checkpoint: Checkpoint, smollm2_gguf: Path) -> None:
    """Names and padding cost less than the vocabulary that the GGUF file carries."""
    manifest = checkpoint.manifest
    assert (manifest.weights, manifest.group_size, manifest.family) == ('W4', 32, 'llama')
    assert manifest.weights_bytes == 96_576_768
    assert sum(shard.bytes for shard in manifest.shards) < smollm2_gguf.stat().st_size


def test_importing_holds_one_shard_in_memory_at_a_time(smollm2_gguf: Path, tmp_path: Path) -> None:
    """The largest is the embedding, 30 MB; twice that is the bound, for a file of 98 MB."""
    code = ('import sys; from pathlib import Path\n'
            'from tinychat_core.importers import import_model\n'
            'import tinychat_core.importers.gguf, tinychat_core.text.tokenizer\n'
            'def anonymous():\n'
            '    lines = Path("/proc/self/status").read_text().splitlines()\n'
            '    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024\n'
            'peaks = [anonymous()]\n'
            'import_model(sys.argv[1], Path(sys.argv[2]), progress=lambda _: peaks.append(anonymous()))\n'
            'print(max(peaks) - peaks[0])')
    done = subprocess.run([sys.executable, '-c', code, str(smollm2_gguf), str(tmp_path / 'model')],
                          capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60 << 20
