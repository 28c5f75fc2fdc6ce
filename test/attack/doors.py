# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Every way that a file of somebody else comes in, and how each is attacked.

`python doors.py DOOR SEED CASES DIRECTORY` mutates valid files again and again, and prints one line of JSON: how many
were taken, how many were refused by one line of TinyChatError, each other outcome with the number of its case, and how
much memory the second half of the cases left behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
import ctypes
import faulthandler
import gc
import json
from pathlib import Path
from random import Random
import resource
import shutil
import sys
from typing import Any

TEST = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TEST), str(TEST / 'core'), str(TEST / 'core' / 'importers')]

import mutations  # noqa: E402
import small_checkpoint as small  # noqa: E402

from tinychat_core.checkpoint import manifest as manifests  # noqa: E402
from tinychat_core.checkpoint.checksums import checksum  # noqa: E402
from tinychat_core.errors import TinyChatError  # noqa: E402

LONGEST_CASE = 30  # [s] then the process ends, with a trace of where it stood

Attack = Callable[[Random], None]
DIALOGUE = [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Hello <|end|> there'}]


def checkpoint(directory: Path) -> Attack:
    """Mutate a small file of a split checkpoint, with checksums that fit; then open it and let it answer."""
    from tinychat_core.engine import Engine
    from tinychat_core.sampling import SamplingParams

    whole = small.write(directory / 'whole')
    files = {path.name: path.read_bytes() for path in whole.iterdir() if path.suffix != '.safetensors'}
    content = json.loads(files[manifests.NAME])

    def attack(random: Random) -> None:
        name = random.choice(sorted(files))
        changed, described = dict(files), json.loads(json.dumps(content))
        if name == manifests.NAME:
            with suppress(ValueError, RecursionError):  # what is no JSON at all is the tests of damage's
                described = json.loads(mutations.of_json(files[name], random))
        else:
            changed[name] = mutations.of_json(files[name], random)
            described['files'][name] = checksum(changed[name])
        if isinstance(described, dict):
            described.pop('checksum', None)
            described['checksum'] = manifests._checksum(described)
        changed[manifests.NAME] = json.dumps(described).encode()
        for file, data in changed.items():
            (whole / file).write_bytes(data)
        engine = Engine.open(whole, threads=1)
        try:
            prompt = engine.tokenizer.encode('Hello')[:8] or [1]
            list(engine.generate(prompt, SamplingParams(3)))
        finally:
            engine.close()

    return attack


def shards(directory: Path) -> Attack:
    """Mutate the header of a shard; then open the checkpoint without a look at its weights."""
    from tinychat_core.engine import Engine
    from tinychat_core.sampling import SamplingParams

    whole = small.write(directory / 'whole', shard_size=1 << 25)
    (shard,) = whole.glob('*.safetensors')
    data = shard.read_bytes()
    end = 8 + int.from_bytes(data[:8], 'little')

    def attack(random: Random) -> None:
        changed = mutations.of_bytes(data, end, random)
        changed = changed[:len(data)] + data[len(changed):]  # of the length that the manifest has
        shard.write_bytes(changed)
        engine = Engine.open(whole, threads=1, verify='size')
        try:
            list(engine.generate([1, 2], SamplingParams(2)))
        finally:
            engine.close()

    return attack


def tokenizer(directory: Path) -> Attack:
    """Mutate the files of a tokenizer; then open it, encode and decode."""
    from tinychat_core.text.tokenizer import Tokenizer

    files = {
        'tokenizer.json': json.dumps(small.tokenizer()).encode(),
        'tokenizer_config.json': json.dumps(
            {
                'eos_token': '<|end|>',
                'bos_token': {'content': '<|end|>', 'special': True},
                'add_bos_token': False,
                'added_tokens_decoder': {'256': {'content': '<|end|>', 'special': True, 'lstrip': False}},
                'chat_template': '{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}',
            }
        ).encode(),
        'special_tokens_map.json': b'{"eos_token": "<|end|>", "additional_special_tokens": ["<|end|>"]}',
        'added_tokens.json': b'{"<|end|>": 256}',
        'generation_config.json': b'{"eos_token_id": [256], "bos_token_id": 256}',
        'config.json': b'{"model_type": "llama", "eos_token_id": 256}',
    }

    def attack(random: Random) -> None:
        for name, data in files.items():
            (directory / name).write_bytes(data)
        for name in random.choices(sorted(files), k=random.choice((1, 1, 2))):
            (directory / name).write_bytes(mutations.of_json(files[name], random))
        opened = Tokenizer.open(directory)
        opened.encode_chat(DIALOGUE)
        opened.decode(opened.encode('Grüße, 世界 <|end|>'))

    return attack


_JINJA = (
    '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
    '{{ "x" * 10**9 }}',
    '{{ messages * 10**8 }}',
    '{{ [1] * 10**9 }}',
    '{{ raise_exception("no") }}',
    '{% set x = x %}',
    '{{ 10**10**8 }}',
    '{{ "%0999999999d" % 1 }}',
    '{{ "{:>999999999}".format(1) }}',
    '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
    '{{ messages | tojson(indent=10**7) }}',
    '{{ "x".center(10**9) }}',
    '{% include "a" %}',
    '{{ self }}',
    '{{ 1/0 }}',
    '{{ messages[99].content }}',
    '{{ "a".join(["b" * 10**6] * 10**4) }}',
    '{% if',
    '}}',
    '{#',
    '{{ namespace() }}',
    '{{ range(10**9) | list }}',
    '{{ "" | replace("", "x" * 10**8) }}',
    '{{ (messages | string) * 10**6 }}',
    '{{ cycler.__init__.__globals__ }}',
    '{{ "x" | indent(10**9) }}',
    '{{ "{0.__class__}".format(1) }}',
    '(' * 5000,
    '{{ ' + '-' * 20000 + '1 }}',
    '{{ ' + '[' * 5000 + ']' * 5000 + ' }}',
)


def template(directory: Path) -> Attack:
    """Mutate chat templates; then compile and render them."""
    import tinychat_core.text.chat_template as module
    from tinychat_core.text.chat_template import ChatTemplate

    sources = [path.read_text() for path in sorted((Path(module.__file__).parent / 'templates').glob('*.jinja'))]

    def attack(random: Random) -> None:
        source = random.choice(sources)
        for _ in range(random.choice((1, 1, 2, 4))):
            at, kind = random.randrange(len(source) + 1), random.random()
            if kind < 0.4:
                source = source[:at] + random.choice(_JINJA) + source[at:]
            elif kind < 0.7:
                source = source[:at] + source[at + random.randrange(1, 12):]
            else:
                source = source[:at] + random.choice('{}%#|()[]"\'\\.~+*- \0\ud800') + source[at:]
        ChatTemplate(source, {'bos_token': '<s>', 'eos_token': '</s>'}).render(DIALOGUE, True)

    return attack


def gguf(directory: Path) -> Attack:
    """Mutate the header of a GGUF file; then import it."""
    import tiny_llama

    path = tiny_llama.save(directory / 'tiny.gguf', tiny_llama.tensors('Q4_0'))
    data = path.read_bytes()
    end = data.index(b'output_norm.weight') + 64
    out = directory / 'out'

    def attack(random: Random) -> None:
        path.write_bytes(mutations.of_bytes(data, end, random))
        _import(path, out)

    return attack


def huggingface(directory: Path) -> Attack:
    """Mutate the JSON or the header of the weights of a Hugging Face directory, quantized or not; then import it."""
    import packed_formats as packed
    from small_huggingface import save, tensors
    from test_import_packed import AWQ, GPTQ, W4A16
    import torch

    kinds: dict[str, tuple[Any, Any]] = {
        'plain': (None, None),
        'awq': (AWQ, packed.awq_gemm),
        'gptq': (GPTQ, packed.gptq),
        'compressed-tensors': (W4A16, packed.compressed_packed),
    }
    sources = []
    for kind, (config, pack) in kinds.items():
        made = tensors(torch.float16) if pack is None else packed.model(pack, group_size=32)[0]
        sources.append(save(directory / kind, made, config and {'quantization_config': config}))
    out = directory / 'out'

    def attack(random: Random) -> None:
        source = random.choice(sources)
        path = random.choice(sorted(source.iterdir()))
        data = path.read_bytes()
        if path.suffix == '.json':
            changed = mutations.of_json(data, random)
        else:
            changed = mutations.of_bytes(data, 8 + int.from_bytes(data[:8], 'little'), random)
        path.write_bytes(changed)
        try:
            _import(source, out)
        finally:
            path.write_bytes(data)

    return attack


def notes(directory: Path) -> Attack:
    """Mutate what a run of the writer has noted, and write on."""
    out, partial = directory / 'small', directory / 'small.partial'

    class Stop(Exception):
        """Cuts a run off."""

    def stop(index: int) -> None:
        if index == 2:
            raise Stop

    with suppress(Stop):
        small.write(out, between=stop)
    left = {path.name: path.read_bytes() for path in partial.iterdir()}
    precious = directory / 'precious.safetensors'
    precious.write_bytes(b'precious')

    def attack(random: Random) -> None:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, data in left.items():
            (partial / name).write_bytes(data)
        (partial / 'tinychat-progress.json').write_bytes(mutations.of_json(left['tinychat-progress.json'], random))
        small.write(out)
        if precious.read_bytes() != b'precious':
            raise AssertionError('a file beside it was changed')

    return attack


def search(directory: Path) -> Attack:
    """Mutate a file of a search for scales; then read it."""
    import torch

    from tinychat_core.families import family_of
    from tinychat_core.families.hf_config import HfConfig
    from tinychat_core.quantize.llm_awq_search import load_llm_awq

    path = directory / 'search.pt'
    torch.save(
        {
            'scale': [('model.layers.0.input_layernorm', ('model.layers.0.self_attn.q_proj',), torch.ones(64))],
            'clip': [('model.layers.0.mlp.up_proj', torch.ones(96, 2, 1))],
        },
        path,
    )
    data = path.read_bytes()
    names = family_of({'model_type': 'llama'}).names(HfConfig({'model_type': 'llama'}))

    def attack(random: Random) -> None:
        path.write_bytes(mutations.of_bytes(data, len(data), random))
        load_llm_awq(path, small.MODEL, names)

    return attack


_SCHEMA = {
    'type': 'object',
    'properties': {
        'name': {'type': 'string', 'maxLength': 5, 'pattern': '[a-z]+'},
        'n': {'type': 'integer', 'minimum': 0, 'multipleOf': 3},
        'all': {'type': 'array', 'items': {'enum': ['a', 1]}, 'minItems': 1},
    },
    'required': ['name'],
    'additionalProperties': False,
    '$defs': {'x': {'anyOf': [{'type': 'null'}, {'const': 'x'}]}},
}
_EXPRESSIONS = (
    '(a+)+$',
    'a{1000}{1000}',
    '(' * 500,
    '[',
    '(?=x)',
    '\\1',
    '(a|a)*b',
    '.{0,99999}',
    '\\p{L}*',
    'x' * 9000,
)


def schema(directory: Path) -> Attack:
    """Mutate a JSON schema or a regular expression; then look whether answers can follow it."""
    from tinychat_core.sampling import SamplingParams

    def attack(random: Random) -> None:
        if random.random() < 0.8:
            SamplingParams(json_schema=mutations.of_json(json.dumps(_SCHEMA).encode(), random).decode())
        else:
            expression = random.choice(_EXPRESSIONS)
            at = random.randrange(len(expression))
            SamplingParams(regex=expression[:at] + random.choice('()[]{}*+?|\\^$.9\0\ud800') + expression[at:])

    return attack


def _import(source: Path, out: Path) -> None:
    from tinychat_core.importers import import_model

    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(out.with_name(out.name + '.partial'), ignore_errors=True)
    import_model(str(source), out, None, lambda fraction: None, None, 128, None)


DOORS: dict[str, Callable[[Path], Attack]] = {
    'checkpoint': checkpoint,
    'shards': shards,
    'tokenizer': tokenizer,
    'template': template,
    'gguf': gguf,
    'huggingface': huggingface,
    'notes': notes,
    'search': search,
    'schema': schema,
}


def resident() -> int:
    """Return the bytes that this process has allocated, after giving back what it can."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('RssAnon'))
    return int(line.split()[1]) << 10


def main(door: str, seed: int, cases: int, directory: Path) -> None:
    """Attack one door."""
    directory.mkdir(parents=True)
    attack = DOORS[door](directory)
    counts: Counter[str] = Counter()
    wrong: dict[int, str] = {}
    settled = 0
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    # The soft limit only: worker processes have limits of their own.
    resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 30), resource.RLIM_INFINITY))
    for case in range(cases):
        if case == cases // 2:
            settled = resident()
        faulthandler.dump_traceback_later(LONGEST_CASE, exit=True)
        try:
            attack(Random(seed * 1_000_003 + case))
            counts['taken'] += 1
        except TinyChatError as error:
            counts['refused'] += 1
            if not str(error).isprintable() or not str(error):
                wrong[case] = repr(str(error))
        except BaseException as error:
            wrong[case] = f'{type(error).__name__}: {error}'[:300]
    faulthandler.cancel_dump_traceback_later()
    print(
        json.dumps(
            {'door': door, 'cases': cases, **counts, 'wrong': wrong, 'grown': round((resident() - settled) / 1e6, 1)}
        )
    )


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
