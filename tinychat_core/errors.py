# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a user can mend. The message is one line that says what to do."""

from __future__ import annotations


class TinyChatError(Exception):
    """The root of all errors that are no defect of ours; the command line prints them and exits with 2."""


class CheckpointError(TinyChatError):
    """A checkpoint that is missing, damaged or newer than this release."""


class UnsupportedModelError(TinyChatError):
    """A model, or an option of one, that nothing here serves."""


class PromptTooLongError(TinyChatError):
    """A prompt that does not fit the context."""


class InvalidParameterError(TinyChatError, ValueError):
    """A value outside what is allowed."""


class BackendFailedError(TinyChatError):
    """A device that failed while it worked; it is set up anew for what is asked next, and caches are empty then."""


class DoesNotFitError(TinyChatError):
    """A model that has no room in the memory that is left."""
