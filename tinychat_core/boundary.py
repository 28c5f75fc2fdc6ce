# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The one way out for whoever reads files that anybody may have made: an error is a TinyChatError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import logging

from tinychat_core._tinychat import Canceled
from tinychat_core.errors import TinyChatError

_log = logging.getLogger(__name__)


def is_defect(error: BaseException) -> bool:
    """
    Whether an error is a fault of the program, and no request to stop it.

    A panic of a library in Rust is a BaseException of a class that nothing exports.
    """
    return isinstance(error, Exception) or type(error).__name__ == 'PanicException'


@contextmanager
def foreseen(doing: str, source: object) -> Iterator[None]:
    """
    Let nothing out but TinyChatError and Canceled; the message says what could not be done (`doing`) with which source.

    Where an error was not foreseen, its trace is in the log at DEBUG. What a user stops (KeyboardInterrupt) passes.
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
        raise TinyChatError(f'cannot {doing} {source}: the files are damaged, or of a kind that is not known here '
                            f'({type(error).__name__}: {error})') from None
