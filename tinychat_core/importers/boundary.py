# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The importers' one way out: whatever is in the files, an error is a TinyChatError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import logging

from tinychat_core.errors import TinyChatError

_log = logging.getLogger(__name__)


@contextmanager
def foreseen(source: str) -> Iterator[None]:
    """
    Let nothing out but TinyChatError; `source` names what is read.

    Where an error was not foreseen, its trace is in the log at DEBUG. What a user stops (KeyboardInterrupt) passes.
    """
    try:
        yield
    except TinyChatError:
        raise
    except MemoryError:
        raise TinyChatError(f'there is not enough memory to read {source}') from None
    except BaseException as error:
        # A panic of a library in Rust is a BaseException of a class that nothing exports.
        if not isinstance(error, Exception) and type(error).__name__ != 'PanicException':
            raise
        _log.debug('%s', source, exc_info=True)
        raise TinyChatError(f'cannot import {source}: the files are damaged, or of a kind that is not known here '
                            f'({type(error).__name__}: {error})') from None
