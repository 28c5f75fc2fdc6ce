# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Turns every error of code that reads untrusted files into a TinyChatError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import logging

from tinychat_core._tinychat import Canceled
from tinychat_core.errors import TinyChatError

_log = logging.getLogger(__name__)


def is_defect(error: BaseException) -> bool:
    """
    Return whether an error is a defect of the program, rather than a request to stop it.

    A panic of a Rust library is a BaseException of a class that is not exported.
    """
    return isinstance(error, Exception) or type(error).__name__ == 'PanicException'


@contextmanager
def foreseen(doing: str, source: object) -> Iterator[None]:
    """
    Raise only TinyChatError and Canceled; the message says which action (`doing`) failed for which source.

    The trace of an unexpected error is logged at DEBUG. KeyboardInterrupt passes.
    """
    try:
        yield
    except (TinyChatError, Canceled):
        raise
    except MemoryError:
        raise TinyChatError(f'there is not enough memory to {doing} {source}') from None
    except BaseException as error:
        if not is_defect(error):
            raise
        _log.debug('%s', source, exc_info=True)
        raise TinyChatError(f'cannot {doing} {source}: the files are damaged or have an unknown format '
                            f'({type(error).__name__}: {error})') from None
