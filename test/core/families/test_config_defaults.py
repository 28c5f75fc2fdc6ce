# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a config.json leaves out has the value that transformers gives it, in every family, or is asked for."""
from __future__ import annotations

from families.tiny_models import MODELS
from huggingface_hub.errors import StrictDataclassClassValidationError
import pytest
import transformers

from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families import model_config

# No options of what is computed.
NOTES = {'model_type', 'transformers_version', 'architectures', 'bos_token_id', 'eos_token_id'}


@pytest.mark.parametrize('name', MODELS)
def test_what_is_left_out(name: str) -> None:
    kind, options = MODELS[name]
    make = getattr(transformers, kind)
    whole = make(**options, bos_token_id=1, eos_token_id=2).to_dict()
    assert model_config(whole)
    for left_out in sorted(set(whole) - NOTES):
        config = {key: value for key, value in whole.items() if key != left_out}
        try:
            expected = model_config(make.from_dict(config).to_dict())
        except (UnsupportedModelError, StrictDataclassClassValidationError):
            continue  # the default of a large model, which does not fit the small one
        try:
            found = model_config(config)
        except UnsupportedModelError as error:
            assert f'config.json lacks {left_out}' in str(error)
        else:
            assert found == expected, left_out
