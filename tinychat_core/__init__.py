# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
TinyChat's runtime: quantized language models on the machine's own processor. Knows nothing of ROS.

`from tinychat_core import Engine` and the like work; a name is imported when it is used, so that the package itself
loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from tinychat_core.engine import Canceled, CancelFlag, Engine
    from tinychat_core.errors import TinyChatError
    from tinychat_core.generation import Generation, Token
    from tinychat_core.sampling import SamplingParams
    from tinychat_core.serving.conversation import Conversation
    from tinychat_core.text.tokenizer import Tokenizer

__version__ = '0.1.0'
__all__ = ['CancelFlag', 'Canceled', 'Conversation', 'Engine', 'Generation', 'SamplingParams', 'TinyChatError', 'Token',
           'Tokenizer']

_MODULES = {
    'CancelFlag': 'engine', 'Canceled': 'engine', 'Conversation': 'serving.conversation', 'Engine': 'engine',
    'Generation': 'generation', 'SamplingParams': 'sampling', 'TinyChatError': 'errors', 'Token': 'generation',
    'Tokenizer': 'text.tokenizer',
}

if not TYPE_CHECKING:  # to a type checker every unknown name would be Any, submodules included
    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        return getattr(import_module(f'{__name__}.{_MODULES[name]}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
