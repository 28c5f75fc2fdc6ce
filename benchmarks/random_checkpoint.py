# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Write a split checkpoint of a known shape with random W4 weights: `random_checkpoint.py SHAPE OUT`."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
import sys
from typing import Any

from tinychat_core.bench.shapes import manifest, random_tensors, SHAPES
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.checkpoint.writer import CheckpointWriter, Content


def write_random_checkpoint(shape: str, out: Path) -> None:
    """Write shards as an importer does: the embedding, one per decoder layer, the norm with the head."""
    listed = manifest(shape, 'W4')
    layers = listed.model.layers
    prefixes: list[Any] = ['embedding', *(f'layers.{i}.' for i in range(layers)), ('norm', 'head')]
    with CheckpointWriter(out, len(prefixes), {'shape': shape}) as writer:
        for index, prefix in enumerate(prefixes):
            writer.add(_content(listed, index, prefix))
        writer.finish(family=listed.family, model=listed.model, files={
            'config.json': b'{"model_type": "llama"}', 'tokenizer.json': json.dumps(_tokenizer()).encode(),
            'tokenizer_config.json': b'{"eos_token": "<|end|>"}'})


def _content(listed: Manifest, index: int, prefix: Any) -> Callable[[], Content]:
    def made() -> Content:
        part = replace(listed, tensors={name: entry for name, entry in listed.tensors.items()
                                        if name.startswith(prefix)})
        return {name: tensor if listed.tensors[name].format == 'f32' else
                Linear(**tensor, layout=listed.tensors[name].layout)
                for name, tensor in random_tensors(part, seed=index).items()}

    return made


def _tokenizer() -> dict[str, Any]:
    """Return a tokenizer.json with the ASCII characters and an end token."""
    byte_level = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': True}
    return {'version': '1.0', 'truncation': None, 'padding': None, 'normalizer': None, 'post_processor': None,
            'pre_tokenizer': byte_level, 'decoder': byte_level,
            'added_tokens': [{'id': 2, 'content': '<|end|>', 'single_word': False, 'lstrip': False, 'rstrip': False,
                              'normalized': False, 'special': True}],
            'model': {'type': 'BPE', 'vocab': {**{chr(i): i for i in range(33, 127)}, '<|end|>': 2}, 'merges': []}}


if __name__ == '__main__':
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        sys.exit(f'usage: random_checkpoint.py SHAPE OUT, where SHAPE is one of {", ".join(SHAPES)}')
    write_random_checkpoint(sys.argv[1], Path(sys.argv[2]))
