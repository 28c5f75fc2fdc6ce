# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Time and memory of images with a model of SmolVLM-256M's shape and random weights, beside its peers.

`vision.py DIRECTORY [--threads N] [--rounds N] [--only encode|follow_up|memory]`; DIRECTORY keeps the models. `encode`:
one image of 512 x 512 pixels, from its tile of pixels to the embeddings, alternating with transformers in float32 and
bfloat16 and with llama.cpp's mtmd; medians, and the distance of the embeddings from those in float32 (max|difference| /
max|embedding|). The first run makes the peers' environment (benchmarks/peers.py). `follow_up`: time to the first token
of a question about a new image, and of a second one about it. `memory`: by how much the peak memory for a question
about an image exceeds that of the text part alone.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
from queue import SimpleQueue
from statistics import median
import subprocess
import sys
from time import perf_counter
from typing import Any

import numpy as np
from peers import cpu_name, install, PYTHON

from tinychat_core.engine import Engine
from tinychat_core.importers import import_model
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import ChatResult, Finished
from tinychat_core.vision.image import Image

VOCAB, TILE = 49280, 512
IMAGE, AROUND, GLOBAL, END = '<image>', '<fake_token_around_image>', '<global-img>', '<end_of_utterance>'
TEXT = {'model_type': 'llama', 'vocab_size': VOCAB, 'hidden_size': 576, 'intermediate_size': 1536,
        'num_hidden_layers': 30, 'num_attention_heads': 9, 'num_key_value_heads': 3, 'max_position_embeddings': 8192,
        'rms_norm_eps': 1e-5, 'rope_theta': 100000.0, 'bos_token_id': None, 'eos_token_id': 259, 'pad_token_id': 259}
VISION = {'hidden_size': 768, 'intermediate_size': 3072, 'num_hidden_layers': 12, 'num_attention_heads': 12,
          'image_size': TILE, 'patch_size': 16}
PROCESSOR = {'size': {'longest_edge': TILE}, 'max_image_size': {'longest_edge': TILE}, 'do_image_splitting': False,
             'image_mean': [0.5] * 3, 'image_std': [0.5] * 3, 'resample': 1, 'rescale_factor': 1 / 255}
TEMPLATE = (
    "{% for message in messages %}{{message['role'] | capitalize}}: {% for line in message['content'] %}"
    "{% if line['type'] == 'text' %}{{line['text']}}{% else %}{{ '<image>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}")
MEMORY = ('import sys\nfrom pathlib import Path\nsys.path.insert(0, sys.argv[2])\nimport vision\n'
          'vision.ask_once(Path(sys.argv[1]), sys.argv[3] == "sees", int(sys.argv[4]))\n'
          'print(vision.peak())')


def reference() -> Any:
    """Return transformers' model with random weights."""
    import torch
    from transformers.models.smolvlm.configuration_smolvlm import SmolVLMConfig
    from transformers.models.smolvlm.modeling_smolvlm import SmolVLMForConditionalGeneration

    torch.manual_seed(0)
    config = SmolVLMConfig(image_token_id=256, scale_factor=4, tie_word_embeddings=False, pad_token_id=259,
                           text_config=TEXT, vision_config=VISION)
    return SmolVLMForConditionalGeneration(config).eval()


def tokenizer() -> dict[str, Any]:
    """Return a tokenizer.json of bytes and the tokens around images."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}
    byte_level = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': True}
    added = [{'id': 256 + i, 'content': token, 'single_word': False, 'lstrip': False, 'rstrip': False,
              'normalized': False, 'special': True} for i, token in enumerate((IMAGE, AROUND, GLOBAL, END))]
    return {'version': '1.0', 'truncation': None, 'padding': None, 'normalizer': None, 'post_processor': None,
            'pre_tokenizer': byte_level, 'decoder': byte_level, 'added_tokens': added,
            'model': {'type': 'BPE', 'vocab': {letters[i]: i for i in range(256)}, 'merges': []}}


def made(directory: Path) -> tuple[Path, Path]:
    """Make, once, the model and its text part alone, both with 16-bit weights; return their directories."""
    sees, blind = directory / 'smolvlm-256m', directory / 'text-alone'
    if not blind.exists():
        from safetensors.torch import save_file
        import torch

        model = reference()
        for name, keep in (('sees', lambda key: True), ('blind', lambda key: 'vision' not in key and
                                                        'connector' not in key)):
            source = directory / f'hf-{name}'
            source.mkdir(parents=True, exist_ok=True)
            save_file({key: tensor.to(torch.bfloat16).contiguous() for key, tensor in model.state_dict().items()
                       if keep(key)}, source / 'model.safetensors')
            config = {**model.config.to_dict(), 'architectures': ['SmolVLMForConditionalGeneration']}
            for file, content in (('config.json', config), ('preprocessor_config.json', PROCESSOR),
                                  ('tokenizer.json', tokenizer()),
                                  ('tokenizer_config.json', {'eos_token': END, 'chat_template': TEMPLATE})):
                (source / file).write_text(json.dumps(content, default=str))
            import_model(str(source), sees if name == 'sees' else blind)
    return sees, blind


def picture(seed: int, width: int = TILE, height: int = TILE) -> Any:
    """Return a picture of noise."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def encode(directory: Path, threads: int, rounds: int) -> None:
    """Print how long an image takes to encode."""
    import torch

    install()
    torch.set_num_threads(threads)
    sees, _ = made(directory)
    eight = directory / 'smolvlm-256m-w8'
    if not eight.exists():
        import_model(str(directory / 'hf-sees'), eight, weights='W8')
    engines = {bits: Engine.open(path, threads=threads, max_seq_len=1024, verify='size')
               for bits, path in ((8, eight), (16, sees))}
    stores = {bits: engine.images for bits, engine in engines.items()}
    np.save(directory / 'picture.npy', picture(0))
    tile = np.ascontiguousarray(picture(0).transpose(2, 0, 1) / np.float32(127.5) - 1, np.float32)
    pixels = torch.from_numpy(tile)[None, None]
    half = reference().to(torch.bfloat16)
    model = reference().to(torch.bfloat16).float()  # float32 with the weights that the others have
    mtmd = subprocess.Popen(
        [PYTHON, Path(__file__).with_name('mtmd_peer.py'), directory / 'hf-sees' / 'model.safetensors',
         directory / 'picture.npy', directory / 'mtmd', str(threads)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert mtmd.stdin and mtmd.stdout

    def timed(run: Callable[[], Any]) -> tuple[float, Any]:
        begin = perf_counter()
        embeddings = run()
        return perf_counter() - begin, embeddings

    def transformers(other: Any, values: Any) -> Any:
        with torch.inference_mode():
            return other.get_image_features(values).pooler_output[0].float().numpy()

    def llama_cpp(kind: str) -> tuple[float, Any]:
        assert mtmd.stdin and mtmd.stdout
        print(kind, file=mtmd.stdin, flush=True)
        return float(mtmd.stdout.readline()), np.load(directory / 'mtmd' / f'embeddings-{kind}.npy')

    ways: dict[str, Callable[[], tuple[float, Any]]] = {
        **{f'TinyChat, {bits} bits': lambda store=store: timed(lambda: store._encoder.encode_tile(tile))
           for bits, store in stores.items()},
        'transformers, float32': lambda: timed(lambda: transformers(model, pixels)),
        'transformers, bfloat16': lambda: timed(lambda: transformers(half, pixels.to(torch.bfloat16))),
        **{f'llama.cpp mtmd, {kind}': lambda kind=kind: llama_cpp(kind) for kind in ('f16', 'bf16', 'q8_0')}}
    times: dict[str, list[float]] = {way: [] for way in ways}
    found = {}
    for i in range(rounds + 1):
        for way, run in ways.items():
            taken, found[way] = run()
            if i:  # the first round warms up
                times[way].append(taken)
    mtmd.stdin.close()
    mtmd.wait()
    own, exact = median(times['TinyChat, 8 bits']), found['transformers, float32']
    print(f'encode, {threads} threads, {rounds} rounds, {cpu_name()}, {engines[8].isa}')
    print('| | time | of TinyChat in 8 bits | distance from float32 |\n|---|---|---|---|')
    for way, every in times.items():
        distance = np.abs(found[way] - exact).max() / np.abs(exact).max()
        print(f'| {way} | {1000 * median(every):.0f} ms | {median(every) / own:.2f}x | {distance:.0e} |')
    for engine in engines.values():
        engine.close()


def ask(service: ChatService, **fields: Any) -> ChatResult:
    """Return the result of a request."""
    events: SimpleQueue[Any] = SimpleQueue()
    service.submit(ChatRequest(params=SamplingParams(max_new_tokens=4), **fields), events.put)
    while not isinstance(event := events.get(), Finished):
        pass
    assert not event.result.error_code, event.result.error_message
    return event.result


def follow_up(directory: Path, threads: int, rounds: int) -> None:
    """Print the time to the first token of a first and a second question about an image."""
    service = ChatService(Engine.open(made(directory)[0], threads=threads, max_seq_len=2048, verify='size'), 2)
    service.open()
    cold, warm = [], []
    for i in range(rounds + 1):
        name, image = f'talk {i}', Image(picture(i))
        first = ask(service, prompt='What do you see?', images=[image], conversation_id=name)
        second = ask(service, prompt='Is the door open?', conversation_id=name)
        if i:
            cold.append(first.time_to_first_token)
            warm.append(second.time_to_first_token)
    print(f'first token, {threads} threads: {1000 * median(cold):.0f} ms cold, {1000 * median(warm):.0f} ms for a '
          f'follow-up: {100 * median(warm) / median(cold):.1f}%')
    service.stop('done')
    service.close()


def ask_once(checkpoint: Path, sees: bool, threads: int) -> None:
    """Answer one question, about an image if the model sees."""
    service = ChatService(Engine.open(checkpoint, threads=threads, max_seq_len=2048), 2)
    service.open()
    ask(service, prompt='What do you see?', images=[Image(picture(0, 1280, 720))] if sees else [])
    service.stop('done')


def peak() -> int:
    """Return the largest resident memory so far [bytes]."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith('VmHWM')).split()[1])


def memory(directory: Path, threads: int, rounds: int) -> None:
    """Print the peak of a process with images over one with the text part alone."""
    sees, blind = made(directory)
    peaks: dict[str, list[int]] = {'sees': [], 'blind': []}
    for _ in range(rounds):
        for name, checkpoint in (('sees', sees), ('blind', blind)):
            done = subprocess.run([sys.executable, '-c', MEMORY, checkpoint, str(Path(__file__).parent), name,
                                   str(threads)], capture_output=True, text=True, check=True)
            peaks[name].append(int(done.stdout.split()[-1]))
    weights = sum(file.stat().st_size for file in sees.glob('*.safetensors')) - sum(
        file.stat().st_size for file in blind.glob('*.safetensors'))
    more = median(peaks['sees']) - median(peaks['blind'])
    print(f"memory: {median(peaks['sees']) / 1e6:.0f} MB with images, {median(peaks['blind']) / 1e6:.0f} MB without: "
          f'{more / 1e6:.0f} MB, of which weights {weights / 1e6:.0f} MB, the rest {(more - weights) / 1e6:.0f} MB')


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('directory', type=Path)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--only', choices=['encode', 'follow_up', 'memory'])
    arguments = parser.parse_args()
    for name, measure in (('encode', encode), ('follow_up', follow_up), ('memory', memory)):
        if arguments.only in (None, name):
            measure(arguments.directory, arguments.threads, arguments.rounds)


if __name__ == '__main__':
    main()
