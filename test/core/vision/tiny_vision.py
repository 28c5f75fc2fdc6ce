# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the tiny models that see share: their weights, their Hugging Face directories, and how results are compared."""
from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

import numpy as np
import small_checkpoint as small
import torch


def with_visible_weights(made: Any) -> Any:
    """Return a model after making every weight large enough to matter, in numbers that bf16 represents."""
    made.eval()
    for parameter in made.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.05 * torch.randn_like(parameter)
        elif parameter.std() < 0.1:
            parameter.data = 0.2 * torch.randn_like(parameter)
        parameter.data = parameter.data.to(torch.bfloat16).float()
    return made


def save(made: Any, directory: Path, processor: Mapping[str, Any], ids: Mapping[str, int], template: str) -> Path:
    """Write a model's Hugging Face directory; `ids`: of the control tokens that its images need."""
    made.save_pretrained(directory)
    (directory / 'preprocessor_config.json').write_text(json.dumps(processor))
    tokenizer = small.tokenizer()
    tokenizer['added_tokens'] += [{**tokenizer['added_tokens'][0], 'id': id_, 'content': token}
                                  for token, id_ in ids.items()]
    (directory / 'tokenizer.json').write_text(json.dumps(tokenizer))
    (directory / 'tokenizer_config.json').write_text(json.dumps({'eos_token': '<|end|>', 'chat_template': template}))
    return directory


def error(found: Any, expected: Any) -> float:
    """Return the largest difference, as a part of the largest expected number."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
