# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Encode an image with llama.cpp's library for images (mtmd), in the peers' environment.

`mtmd_peer.py MODEL.safetensors PICTURE.npy DIRECTORY THREADS` takes a SmolVLM of Hugging Face and a picture of its tile
size, uint8 [height, width, 3]. For each line of standard input, one of f16, bf16 and q8_0, it encodes the picture with
weights of this type and prints the time of the call [s]. The first time, it writes the embeddings to
DIRECTORY/embeddings-TYPE.npy. The GGUF files stay in DIRECTORY: the vision part in each type, and a text part of one
small layer, which mtmd needs for its tokens and its width.
"""
from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_float, c_uint8, cast, POINTER
from pathlib import Path
import re
import sys
from time import perf_counter
from typing import Any

import gguf
from llama_cpp import llama_cpp, mtmd_cpp
import numpy as np

TYPES = {'f16': gguf.GGMLQuantizationType.F16, 'bf16': gguf.GGMLQuantizationType.BF16,
         'q8_0': gguf.GGMLQuantizationType.Q8_0}
PATCH, SHUFFLE, HEADS, TEXT_HEADS = 16, 4, 12, 9
TOKENS = ['<unk>', '<s>', '</s>', *(f'<0x{byte:02X}>' for byte in range(256)), '\n\n', '<image>',
          '<fake_token_around_image>', '<global-img>', '<row_1_col_1>']
# The names of llama.cpp's converters (gguf-py/gguf/constants.py).
NAMES = {'layer_norm1': 'ln1', 'layer_norm2': 'ln2', 'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k',
         'self_attn.v_proj': 'attn_v', 'self_attn.out_proj': 'attn_out', 'mlp.fc1': 'ffn_up', 'mlp.fc2': 'ffn_down',
         'embeddings.patch_embedding': 'v.patch_embd', 'embeddings.position_embedding': 'v.position_embd',
         'post_layernorm': 'v.post_ln', 'connector.modality_projection.proj': 'mm.model.fc'}


def vision_tensors(model: str) -> dict[str, Any]:
    """Return name -> values in float32 of the vision part."""
    from safetensors import safe_open

    found = {}
    with safe_open(model, 'pt') as file:
        for name in file.keys():  # noqa: SIM118 (no mapping)
            stem, _, part = re.sub(r'^model\.(vision_model\.)?', '', name).rpartition('.')
            layer = re.fullmatch(r'encoder\.layers\.(\d+)\.(.+)', stem)
            if layer or stem in NAMES:
                named = f'v.blk.{layer[1]}.{NAMES[layer[2]]}' if layer else NAMES[stem]
                found[f'{named}.{part}'] = file.get_tensor(name).float().numpy()
    return found


def write_vision(path: Path, model: str, kind: str) -> None:
    """Write the vision part; as in llama.cpp's converters, only matrices get the type `kind`."""
    tensors = vision_tensors(model)
    places, width = tensors['v.position_embd.weight'].shape
    writer = gguf.GGUFWriter(path, 'clip')
    writer.add_string('general.type', 'mmproj')
    writer.add_string('clip.projector_type', 'idefics3')
    writer.add_bool('clip.has_vision_encoder', True)
    writer.add_bool('clip.use_gelu', True)
    layers = 1 + max(int(name.split('.')[2]) for name in tensors if name.startswith('v.blk.'))
    size = round(places ** 0.5) * PATCH
    for key, number in (('image_size', size), ('patch_size', PATCH), ('embedding_length', width),
                        ('feed_forward_length', len(tensors['v.blk.0.ffn_up.weight'])), ('block_count', layers),
                        ('attention.head_count', HEADS), ('projection_dim', len(tensors['mm.model.fc.weight'])),
                        ('projector.scale_factor', SHUFFLE), ('preproc_image_size', size)):
        writer.add_uint32(f'clip.vision.{key}', number)
    writer.add_float32('clip.vision.attention.layer_norm_epsilon', 1e-6)
    writer.add_array('clip.vision.image_mean', [0.5] * 3)
    writer.add_array('clip.vision.image_std', [0.5] * 3)
    for name, values in tensors.items():
        form = (TYPES['f16'] if values.ndim == 4 else  # of a convolution
                TYPES[kind] if values.ndim == 2 and name != 'v.position_embd.weight' else
                gguf.GGMLQuantizationType.F32)
        writer.add_tensor(name, gguf.quants.quantize(values, form), raw_dtype=form)
    finish(writer)


def write_text(path: Path, width: int) -> None:
    """Write a text part of one layer; nothing is computed with it."""
    writer = gguf.GGUFWriter(path, 'llama')
    for key, number in (('context_length', 2048), ('embedding_length', width), ('block_count', 1),
                        ('feed_forward_length', width), ('attention.head_count', TEXT_HEADS),
                        ('vocab_size', len(TOKENS)), ('rope.dimension_count', width // TEXT_HEADS)):
        writer.add_uint32(f'llama.{key}', number)
    writer.add_float32('llama.attention.layer_norm_rms_epsilon', 1e-5)
    writer.add_tokenizer_model('llama')
    writer.add_token_list(TOKENS)
    writer.add_token_scores([0.0] * len(TOKENS))
    writer.add_token_types([2, 3, 3, *[6] * 256, *[3] * (len(TOKENS) - 259)])
    for name in ('attn_norm', 'ffn_norm'):
        writer.add_tensor(f'blk.0.{name}.weight', np.ones(width, np.float32))
    writer.add_tensor('output_norm.weight', np.ones(width, np.float32))
    for name in ('attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'):
        writer.add_tensor(f'blk.0.{name}.weight', np.zeros((width, width), np.float32))
    for name in ('token_embd', 'output'):
        writer.add_tensor(f'{name}.weight', np.zeros((len(TOKENS), width), np.float32))
    finish(writer)


def finish(writer: gguf.GGUFWriter) -> None:
    """Write all that was added."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def encoder(vision: Path, text: Any, picture: Any, threads: int) -> Callable[[], Any]:
    """Return a function that encodes the picture and returns the embeddings, float [tokens, width]."""
    options = mtmd_cpp.mtmd_context_params_default()
    options.use_gpu, options.print_timings, options.n_threads = False, False, threads
    context = mtmd_cpp.mtmd_init_from_file(str(vision).encode(), text, options)
    if not context:
        raise SystemExit(f'mtmd cannot load {vision}')
    height, width, _ = picture.shape
    bitmap = mtmd_cpp.mtmd_bitmap_init(width, height, picture.ctypes.data_as(POINTER(c_uint8)))
    chunks = mtmd_cpp.mtmd_input_chunks_init()
    marker = mtmd_cpp.mtmd_default_marker()
    line = mtmd_cpp.mtmd_input_text(marker, len(marker), False, True)
    bitmaps = (mtmd_cpp.mtmd_bitmap_p_ctypes * 1)(bitmap)
    if mtmd_cpp.mtmd_tokenize(context, chunks, byref(line), bitmaps, 1):
        raise SystemExit('mtmd cannot preprocess the picture')
    # The first image is the whole picture. Its tiles follow; here it is one tile, equal to the whole picture.
    parts = [mtmd_cpp.mtmd_input_chunks_get(chunks, i) for i in range(mtmd_cpp.mtmd_input_chunks_size(chunks))]
    chunk = next(part for part in parts
                 if mtmd_cpp.mtmd_input_chunk_get_type(part) == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_IMAGE)
    shape = mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk), llama_cpp.llama_model_n_embd(text)

    def run() -> Any:
        if mtmd_cpp.mtmd_encode_chunk(context, chunk):
            raise SystemExit('mtmd cannot encode the picture')
        return np.ctypeslib.as_array(cast(mtmd_cpp.mtmd_get_output_embd(context), POINTER(c_float)), shape)

    return run


def main() -> None:
    """Encode once for each line of standard input."""
    model, picture, directory, threads = sys.argv[1], np.load(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    directory.mkdir(exist_ok=True)
    if not (directory / 'text.gguf').exists():
        write_text(directory / 'text.gguf', len(vision_tensors(model)['mm.model.fc.weight']))
    llama_cpp.llama_backend_init()
    options = llama_cpp.llama_model_default_params()
    options.n_gpu_layers = 0
    text = llama_cpp.llama_model_load_from_file(str(directory / 'text.gguf').encode(), options)
    encoders: dict[str, Callable[[], Any]] = {}
    for kind in map(str.strip, sys.stdin):
        vision = directory / f'mmproj-{kind}.gguf'
        first = kind not in encoders
        if first:
            if not vision.exists():
                write_vision(vision, model, kind)
            encoders[kind] = encoder(vision, text, picture, threads)
        begin = perf_counter()
        embeddings = encoders[kind]()
        taken = perf_counter() - begin
        if first:
            np.save(directory / f'embeddings-{kind}.npy', embeddings)
        print(taken, flush=True)


if __name__ == '__main__':
    main()
