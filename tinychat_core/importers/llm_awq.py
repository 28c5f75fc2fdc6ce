# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The packed .pt files of llm-awq (`--dump_quant`), first and second version; nothing in them is run.

They hold the weights alone; configuration and tokenizer are those of the Hugging Face directory that was quantized.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.errors import TinyChatError

_ADVICE = 'give a file that llm-awq wrote with --dump_quant'


class PtFile:
    """The tensors of a .pt file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        """Open the file; TinyChatError where torch is missing, or the file is damaged or would run code."""
        try:
            import torch
        except ModuleNotFoundError:
            raise TinyChatError(f'{path} needs torch: pip install torch') from None
        try:
            content = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
        except pickle.UnpicklingError:
            raise TinyChatError(f'{path} would run code when opened, or is damaged; only tensors are read; '
                                f'{_ADVICE}') from None
        except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
            raise TinyChatError(f'cannot read {path}: {str(error).strip().partition(chr(10))[0]}; {_ADVICE}') from None
        if not isinstance(content, dict) or not all(
                isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in content.items()):
            raise TinyChatError(f'{path} contains something other than named tensors; {_ADVICE}')
        self.path = path
        self._torch = torch
        self._types = {torch.float16: 'F16', torch.bfloat16: 'BF16', torch.float32: 'F32', torch.int32: 'I32',
                       torch.int16: 'I16', torch.int8: 'I8'}
        self._tensors: dict[str, Any] = content

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor."""
        return {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def dtype(self, name: str) -> str:
        """Return the type of a tensor as safetensors names it."""
        kind = self._tensors[name].dtype
        return self._types.get(kind, str(kind))

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return a tensor, BF16 as uint16."""
        tensor = self._tensors[name].contiguous()
        if tensor.dtype == self._torch.bfloat16:
            bits: npt.NDArray[Any] = tensor.view(self._torch.int16).numpy().view(np.uint16)
            return bits
        array: npt.NDArray[Any] = tensor.numpy()
        return array
