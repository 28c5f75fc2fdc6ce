# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""GGUF with --mmproj: the same numbers as from the Hugging Face directory of the same model."""
from __future__ import annotations

from pathlib import Path
import re
from typing import Any

from core import plain_gguf
import numpy as np
import pytest
from vision import tiny_gemma3, tiny_internvl, tiny_llava, tiny_llava_next, tiny_mmproj, tiny_smolvlm

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.cli import main
from tinychat_core.engine import Engine
from tinychat_core.errors import TinyChatError, UnsupportedModelError
from tinychat_core.importers import import_model
from tinychat_core.vision.image import Image

TINY: dict[str, Any] = {'smolvlm': tiny_smolvlm, 'llava': tiny_llava, 'llava_next': tiny_llava_next,
                        'gemma3': tiny_gemma3, 'internvl': tiny_internvl}
BOUND = 1e-6  # of the largest number; the GGUF file's text part is F16


@pytest.fixture(scope='module', params=TINY)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope='module')
def model(family: str) -> Any:
    return TINY[family].model()


@pytest.fixture(scope='module')
def directory(family: str, model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the model in both forms."""
    made: Path = tmp_path_factory.mktemp(family)
    arguments = (tiny_llava_next.PROCESSOR,) if family == 'llava_next' else ()
    (tiny_llava if family == 'llava_next' else TINY[family]).save(model, made / 'hf', *arguments)
    tiny_mmproj.save(model, made / 'hf', made, TINY[family].PROCESSOR)
    return made


def results(path: Path) -> tuple[Any, Any]:
    """Return the embeddings of an image, and the logits after a question about it."""
    engine = Engine.open(path, threads=2)
    rows = engine.encode_images([Image(tiny_smolvlm.picture(150, 90))])
    ids = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': rows}])
    logits = engine.prefill(engine.new_cache(), ids)
    engine.close()
    return rows[0].rows, logits


def test_the_numbers_are_those_of_the_directory(directory: Path, family: str) -> None:
    import_model(str(directory / 'hf'), directory / 'from-hf')
    import_model(str(directory / 'text.gguf'), directory / 'from-gguf', mmproj=directory / 'mmproj.gguf')
    first, second = Manifest.read(directory / 'from-hf'), Manifest.read(directory / 'from-gguf')
    assert first.vision is not None and second.vision is not None
    assert second.family == family and first.vision.placing == second.vision.placing
    for expected, found in zip(results(directory / 'from-hf'), results(directory / 'from-gguf'), strict=True):
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < BOUND * np.abs(expected).max()


def test_without_it_the_model_sees_nothing(directory: Path) -> None:
    import_model(str(directory / 'text.gguf'), directory / 'blind')
    assert Manifest.read(directory / 'blind').vision is None


@pytest.mark.parametrize('family', ['smolvlm'], indirect=True)
@pytest.mark.parametrize(('changes', 'reason'), [
    ({'clip.projector_type': 'ldp'}, "projector_type = 'ldp' is not supported; supported are gemma3, idefics3"),
    ({'clip.vision.projection_dim': 128}, 'makes embeddings of 128 numbers, but those of .* have 64'),
    ({'clip.vision.block_count': None}, 'the metadata lacks clip.vision.block_count'),
    ({'clip.vision.block_count': 4}, 'has no tensor v.blk.3'),
    ({'clip.vision.block_count': 2}, ''),
    ({'clip.vision.image_size': 'x'}, 'is damaged|is not supported'),
    ({'clip.vision.projector.scale_factor': None}, 'lacks|is damaged'),
    ({'clip.vision.n_wa_pattern': 8}, 'clip.vision.n_wa_pattern = 8 is not supported'),
    ({'general.architecture': 'llama'}, 'has no vision encoder'),
    ({'clip.projector_type': 'gemma3'}, "is for a model of the architecture gemma3, not of 'llama'"),
])
def test_what_is_wrong_with_the_file_is_one_line(directory: Path, model: Any, tmp_path: Path, changes: dict[str, Any],
                                                 reason: str) -> None:
    text, mmproj = tiny_mmproj.save(model, directory / 'hf', tmp_path, tiny_smolvlm.PROCESSOR, **changes)
    if not reason:  # layers that are not used may be there
        import_model(str(text), tmp_path / 'ours', mmproj=mmproj)
        return
    with pytest.raises(TinyChatError, match=reason) as caught:
        import_model(str(text), tmp_path / 'ours', mmproj=mmproj)
    assert '\n' not in str(caught.value) and 'mmproj.gguf' in str(caught.value)


@pytest.mark.parametrize('family', ['smolvlm'], indirect=True)
@pytest.mark.parametrize(('architecture', 'projector'), [
    ('qwen2vl', 'qwen2vl_merger'), ('qwen2vl', 'qwen2.5vl_merger'), ('qwen3vl', 'qwen3vl_merger')])
def test_qwen_vl_is_refused_by_name(directory: Path, tmp_path: Path, architecture: str, projector: str) -> None:
    metadata, tensors = plain_gguf.read(directory / 'text.gguf')
    plain_gguf.write(tmp_path / 'text.gguf', {
        **{key.replace('llama.', f'{architecture}.', 1): value for key, value in metadata.items()},
        'general.architecture': architecture}, tensors)
    metadata, tensors = plain_gguf.read(directory / 'mmproj.gguf')
    mmproj = plain_gguf.write(tmp_path / 'mmproj.gguf', {**metadata, 'clip.projector_type': projector}, tensors)
    for text, reason in ((tmp_path / 'text.gguf', f"the architecture '{architecture}' is not supported"),
                         (directory / 'text.gguf', f"clip.projector_type = '{projector}' is not supported")):
        with pytest.raises(UnsupportedModelError, match=re.escape(reason)) as caught:
            import_model(str(text), tmp_path / 'ours', mmproj=mmproj)
        assert '\n' not in str(caught.value) and not (tmp_path / 'ours').exists()


@pytest.mark.parametrize('family', ['llava'], indirect=True)
def test_the_first_converters_names_are_read(directory: Path, tmp_path: Path) -> None:
    """It called the first matrix of the feed-forward part `down`."""
    metadata, tensors = plain_gguf.read(directory / 'mmproj.gguf')
    swapped = {name.replace('ffn_up', 'x').replace('ffn_down', 'ffn_up').replace('x', 'ffn_down'): tensor
               for name, tensor in tensors.items()}
    plain_gguf.write(tmp_path / 'mmproj.gguf', metadata, swapped)
    import_model(str(directory / 'text.gguf'), tmp_path / 'new', mmproj=directory / 'mmproj.gguf')
    import_model(str(directory / 'text.gguf'), tmp_path / 'old', mmproj=tmp_path / 'mmproj.gguf')
    assert np.array_equal(results(tmp_path / 'new')[0], results(tmp_path / 'old')[0])


@pytest.mark.parametrize('family', ['smolvlm'], indirect=True)
def test_the_command_takes_it(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['import', str(directory / 'text.gguf'), str(tmp_path / 'ours'), '--mmproj',
                 str(directory / 'mmproj.gguf')]) == 0
    assert Manifest.read(tmp_path / 'ours').vision is not None
    assert main(['import', str(directory / 'hf'), str(tmp_path / 'other'), '--mmproj',
                 str(directory / 'mmproj.gguf')]) == 2
    assert 'has its own vision part' in capsys.readouterr().err


@pytest.mark.parametrize('family', ['llava', 'internvl'], indirect=True)
@pytest.mark.parametrize('template', [
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}",  # adds texts: a list is an error
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",  # would write the list itself
])
def test_a_template_without_a_place_for_images_gets_their_markers_before_the_text(
        directory: Path, tmp_path: Path, template: str) -> None:
    (tmp_path / 'text.jinja').write_text(template)
    import_model(str(directory / 'text.gguf'), tmp_path / 'ours', mmproj=directory / 'mmproj.gguf',
                 chat_template=str(tmp_path / 'text.jinja'))
    engine = Engine.open(tmp_path / 'ours', threads=2)
    rows = engine.encode_images([Image(tiny_smolvlm.picture(56, 56, seed)) for seed in range(2)])
    marker = rows[0].marker
    ids = engine.tokenizer.encode_chat([{'role': 'user', 'content': f'is {marker} text?', 'images': rows}])
    written = engine.tokenizer.encode(f'user: {rows[0].text}\n{rows[1].text}\nis ', parse_special=True)
    expected = [*rows[0].numbers, *rows[1].numbers]
    assert [id_ for id_ in ids if id_ >= 1000] == expected
    assert len(written) == len(engine.tokenizer.encode('user: \n\nis ')) + sum(
        len(engine.tokenizer.encode(row.text, parse_special=True)) for row in rows)
    asked = engine.tokenizer.encode(f'is {marker} text?\n')  # the user's own spelling stays text
    assert ids[:6] == engine.tokenizer.encode('user: ') and ids[-len(asked):] == asked
    engine.close()
