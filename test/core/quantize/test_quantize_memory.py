# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The peak of memory is that of the widest matrix of one decoder layer, whatever the model's depth."""
from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest
from small_huggingface import save
import torch

HIDDEN, INNER = 768, 2048
LAYER = 4 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)  # bytes of a layer's matrices in float32
GRAM = 4 * INNER * INNER

# Prints the bytes that the second run adds to the peak of the first, which has brought in torch and all the rest.
RUNS = """
from pathlib import Path
import resource
import sys

from tinychat_core.quantize.method import Method
from tinychat_core.quantize.run import quantize_model

peaks = []
for source in sys.argv[2:]:
    quantize_model(source, Path(source + '-ours'), Method.of('awq', group_size=32), Path(sys.argv[1]))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(peaks[1] - peaks[0])
"""


def model(directory: Path, hidden: int, inner: int, layers: int) -> Path:
    shapes = {'model.embed_tokens': (270, hidden), 'model.norm': (hidden,), 'lm_head': (270, hidden)}
    for i in range(layers):
        shapes |= {f'model.layers.{i}.{name}': shape for name, shape in {
            'input_layernorm': (hidden,), 'post_attention_layernorm': (hidden,),
            **{f'self_attn.{part}_proj': (hidden, hidden) for part in 'qkvo'},
            'mlp.gate_proj': (inner, hidden), 'mlp.up_proj': (inner, hidden), 'mlp.down_proj': (hidden, inner)}.items()}
    generator = torch.Generator().manual_seed(0)
    return save(directory, {f'{name}.weight': torch.randn(shape, generator=generator) / 32
                            for name, shape in shapes.items()},
                {'hidden_size': hidden, 'intermediate_size': inner, 'num_hidden_layers': layers,
                 'num_attention_heads': hidden // 64, 'num_key_value_heads': hidden // 64}, shards=layers)


@pytest.mark.slow
def test_the_peak_is_that_of_the_widest_matrix(tmp_path: Path) -> None:
    text = tmp_path / 'text.txt'
    text.write_text('Robots need maps. ' * 150)
    # What is freed goes back at once, so that the peak is what was really held.
    environment = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': str(2**22), 'MALLOC_TRIM_THRESHOLD_': str(2**22)}
    done = subprocess.run(
        [sys.executable, '-c', RUNS, text, model(tmp_path / 'small', 64, 96, 2),
         model(tmp_path / 'wide', HIDDEN, INNER, 2)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3], env=environment)
    # A layer, two matrices as wide as its last one's inputs (what is known of them, and its root), and three pieces of
    # 2^22 numbers that clipping works on.
    assert int(done.stdout) < LAYER + 2 * GRAM + 3 * 2**24
