# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""GGUF models in parts: found from any of them, and refused where they are not one model."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from importing import refused
import numpy as np
from plain_gguf import read, Tensor, write, write_parts
import pytest
import tiny_llama

from tinychat_core.importers import import_model
from tinychat_core.loading.reader import Checkpoint


def parts(tmp_path: Path, count: int = 3) -> tuple[list[Path], dict[str, Tensor]]:
    made = tiny_llama.tensors()
    return write_parts(tmp_path, tiny_llama.metadata(), tiny_llama.interleaved(made), count), made


@pytest.mark.parametrize('count', [1, 2, 3, 7])
def test_from_any_part_the_model_is_whole(tmp_path: Path, count: int) -> None:
    paths, made = parts(tmp_path, count)
    for number, path in enumerate(paths):
        import_model(str(path), tmp_path / f'out{number}')
        checkpoint = Checkpoint.open(tmp_path / f'out{number}')
        for name, values in tiny_llama.expected(made).items():
            entry = checkpoint.manifest.tensors[name]
            found = checkpoint.array(name) if entry.format == 'f32' else checkpoint.linear(name).dequantized()
            assert np.array_equal(found, values), name


def test_the_name_of_the_model_has_no_number(tmp_path: Path) -> None:
    paths, _ = parts(tmp_path)
    import_model(str(paths[1]), tmp_path / 'out')
    assert '"_name_or_path": "tiny"' in (tmp_path / 'out' / 'config.json').read_text()


@pytest.mark.parametrize('missing', [0, 1, 2])
def test_a_missing_part_is_named(tmp_path: Path, missing: int) -> None:
    paths, _ = parts(tmp_path)
    paths[missing].unlink()
    said = refused(tmp_path, paths[missing - 1])
    assert f'{paths[missing]} is missing: the model has 3 parts' in said


def test_of_several_missing_parts_the_first_is_named(tmp_path: Path) -> None:
    paths, _ = parts(tmp_path)
    paths[0].unlink()
    paths[2].unlink()
    assert f'{paths[0]} is missing, and 1 more: the model has 3 parts' in refused(tmp_path, paths[1])


def test_a_link_to_a_part_leads_to_all(tmp_path: Path) -> None:
    (tmp_path / 'blobs').mkdir()
    paths, _ = parts(tmp_path / 'blobs')
    (tmp_path / 'model.gguf').symlink_to(paths[1])
    import_model(str(tmp_path / 'model.gguf'), tmp_path / 'out')


def test_links_as_the_hub_keeps_them(tmp_path: Path) -> None:
    """Each name of a snapshot is a link to a file that is called by its checksum."""
    (tmp_path / 'snapshot').mkdir()
    paths, _ = parts(tmp_path)
    for number, path in enumerate(paths):
        blob = path.rename(tmp_path / f'{number:064x}')
        (tmp_path / 'snapshot' / path.name).symlink_to(blob)
    import_model(str(tmp_path / 'snapshot' / paths[2].name), tmp_path / 'out')


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], object]) -> None:
    metadata, tensors = read(path)
    change(metadata, tensors)
    write(path, metadata, tensors)


@pytest.mark.parametrize(('change', 'reason'), [
    (lambda meta, _: meta.update({'split.no': 2}), 'is part 3 of 3 by its metadata, but 2 of 3 by its name'),
    (lambda meta, _: meta.update({'split.count': 4}), 'is part 2 of 4 by its metadata, but 2 of 3 by its name'),
    (lambda meta, _: meta.pop('split.count'), 'is part 2 of 1 by its metadata, but 2 of 3 by its name'),
    (lambda meta, _: meta.update({'split.tensors.count': 19}), 'its split.tensors.count differs'),
    (lambda meta, _: meta.update({'split.no': -1.0}), 'is damaged: split.no = -1.0'),
    (lambda meta, _: meta.update({'general.architecture': 'qwen2'}), 'its general.architecture differs'),
    (lambda meta, _: meta.update({'llama.context_length': 64}), 'its llama.context_length differs'),
    (lambda _, tensors: tensors.popitem(), 'split.tensors.count = 20, and its parts have 19'),
    (lambda _, tensors: tensors.update({'token_embd.weight': tiny_llama.tensors()['token_embd.weight']}),
     'has the tensor token_embd.weight, and tiny-00001-of-00003.gguf has it, too'),
])
def test_parts_that_contradict_each_other(tmp_path: Path, change: Callable[..., object], reason: str) -> None:
    paths, _ = parts(tmp_path)
    rewritten(paths[1], change)
    said = refused(tmp_path, paths[0])
    assert reason in said


def test_a_part_whose_name_was_changed(tmp_path: Path) -> None:
    paths, _ = parts(tmp_path)
    path = paths[1].rename(tmp_path / 'model.gguf')
    assert 'is part 2 of 3, but its name does not say where the others are' in refused(tmp_path, path)
    path = path.rename(tmp_path / 'tiny-00002-of-00009.gguf')
    assert 'is one of 3 parts by its metadata, but of 9 by its name' in refused(tmp_path, path)


def test_a_part_of_another_model(tmp_path: Path) -> None:
    paths, _ = parts(tmp_path)
    (tmp_path / 'other').mkdir()
    other, _ = parts(tmp_path / 'other', count=4)
    other[1].replace(paths[1])
    assert 'is part 2 of 4 by its metadata, but 2 of 3 by its name' in refused(tmp_path, paths[0])


@pytest.mark.parametrize('name', ['tiny.gguf.part1of2', 'tiny.gguf-split-a', 'tiny.gguf.001', 'tiny.gguf.aa'])
def test_pieces_of_a_file_are_to_be_joined(tmp_path: Path, name: str) -> None:
    whole = tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.tensors()).read_bytes()
    (tmp_path / name).write_bytes(whole[:len(whole) // 2])
    assert 'is a piece of a file; join the pieces' in refused(tmp_path, tmp_path / name)


def test_a_type_that_is_rounded_in_two_parts_is_told_once(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    made = tiny_llama.interleaved(tiny_llama.tensors('IQ4_NL'))
    import_model(str(write_parts(tmp_path, tiny_llama.metadata(), made, 3)[0]), tmp_path / 'out')
    assert core_log.text.count('IQ4_NL keeps every number') == 1
