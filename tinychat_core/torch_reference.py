# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""transformers in float32, the reference of `tinychat eval --compare`; never imported on a robot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from tinychat_core.errors import TinyChatError
from tinychat_core.families import model_config
from tinychat_core.importers.source_files import read_json


class TorchReference:
    """The model of a Hugging Face directory, with the `score` of `Engine`."""

    def __init__(self, directory: Path) -> None:
        """Load the model; TinyChatError where that fails, or where torch or transformers is not installed."""
        try:
            import torch
            from transformers import AutoModelForCausalLM
        except ModuleNotFoundError as error:
            raise TinyChatError(f'--compare needs {error.name}: pip install torch transformers') from None
        if not (directory / 'config.json').is_file():
            raise TinyChatError(f'{directory} has no config.json; give a Hugging Face directory to compare with')
        self._torch = torch
        try:
            self._model = AutoModelForCausalLM.from_pretrained(
                directory, dtype=torch.float32, local_files_only=True, trust_remote_code=False,
                use_safetensors=True).eval()
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise TinyChatError(f'cannot load {directory}: {str(error).strip().splitlines()[0]}') from None
        # transformers' own option has another name in each family.
        self.context_length = model_config(read_json(directory, 'config.json')).context_length

    def score(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the logits [n, vocab] after each of tokens [n]."""
        with self._torch.inference_mode():
            logits = self._model(self._torch.tensor([list(tokens)]), use_cache=False).logits[0]
            return cast('npt.NDArray[np.float32]', logits.float().numpy())
