# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Chat templates that the package keeps, for models that come without one: templates/NAME.jinja."""

from __future__ import annotations

from pathlib import Path
import re

_DIRECTORY = Path(__file__).parent / 'templates'
# Models that were released before checkpoints had templates; a base model of the same family gets none.
_MODELS = {
    'vicuna': r'vicuna',
    'llama-2': r'llama-?2.*chat',
    'mpt': r'mpt-\d+b-chat',
    'falcon': r'falcon-.*(instruct|chat)',
}
# What a template is written with; in a vocabulary without them they would be spelled out.
CONTROL_TOKENS = {
    'chatml': ('<|im_start|>', '<|im_end|>'),
    'gemma': ('<start_of_turn>', '<end_of_turn>'),
    'llama-3': ('<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'),
    'mpt': ('<|im_start|>', '<|im_end|>'),
    'phi-3': ('<|user|>', '<|assistant|>', '<|end|>'),
}


def template_names() -> list[str]:
    """Return the names of all templates, in alphabetical order."""
    return sorted(path.stem for path in _DIRECTORY.glob('*.jinja'))


def named_template(name: str) -> str:
    """Return the template of a name; KeyError where there is none."""
    if name not in template_names():
        raise KeyError(name)
    return (_DIRECTORY / f'{name}.jinja').read_text(encoding='utf-8')


def template_of_model(model_name: str) -> str | None:
    """Return the name of the template that belongs to a model's name, or None."""
    return next((name for name, pattern in _MODELS.items() if re.search(pattern, model_name, re.IGNORECASE)), None)
