# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Options of a quantization_config, each read as the type that it has to have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinychat_core.errors import shown, TinyChatError, UnsupportedModelError


class Options:
    """A mapping from JSON. A null option is an absent one; one of another type raises TinyChatError."""

    def __init__(self, values: Any, label: str, name: str) -> None:
        """Hold `values`; `label` and `name` say in a message where they stand."""
        if not isinstance(values, dict):
            raise TinyChatError(f'{label}: {name} is {bare(values)} instead of options')
        self.label, self.name = label, name
        self._values: Mapping[str, Any] = values

    def __contains__(self, name: str) -> bool:
        """Return whether the option is there, and not null."""
        return self._values.get(name) is not None

    def __len__(self) -> int:
        """Return how many options there are."""
        return len(self._values)

    def of(self, name: str, kind: type) -> bool:
        """Return whether the option is there with this type, where more than one is possible."""
        return type(self._values.get(name)) is kind

    def whole(self, name: str, default: int | None = None) -> int | None:
        """Return a whole number of at most nine digits."""
        value: int | None = self._read(name, default, int, 'a whole number')
        if value is not None and abs(value) > 999_999_999:
            raise self.refused(name, 'no number here is so large')
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value: bool = self._read(name, default, bool, 'true or false')
        return value

    def text(self, name: str, default: str = '') -> str:
        """Return a text."""
        value: str = self._read(name, default, str, 'a text')
        return value

    def group(self, name: str) -> Options:
        """Return options within; empty where there are none."""
        return Options(self._read(name, {}, dict, 'options'), self.label, f'{self.name}.{name}')

    def groups(self, name: str) -> dict[str, Options]:
        """Return options within by name, each options again, without those that are null."""
        inner = self.group(name)
        return {key: Options(value, self.label, f'{inner.name}.{bare(key)}')
                for key, value in inner._values.items() if value is not None}

    def group_size(self, name: str = 'group_size') -> int | None:
        """Return columns that share a scale, 0 where a row has one (stored as -1, or null); None where it is absent."""
        if name not in self._values:
            return None
        size = self.whole(name)
        if size is not None and size < -1:
            raise self.refused(name, '-1 or a number of columns is')
        return 0 if size is None else max(size, 0)

    def only(self, name: str, instead: str) -> None:
        """Raise UnsupportedModelError where the option is there, and neither false, 0 nor empty."""
        if self._values.get(name):
            raise self.refused(name, instead)

    def refused(self, name: str, instead: str) -> UnsupportedModelError:
        """Return an error that names an option and its value; `instead` says what is supported."""
        return UnsupportedModelError(
            f'{self.label}: {self.name} with {name} = {bare(self._values.get(name))} is not supported; {instead}')

    def _read(self, name: str, default: Any, kind: type, what: str) -> Any:
        value = self._values.get(name)
        if value is None:
            return default
        if type(value) is not kind:  # a bool is an int in Python, and here it is not
            raise TinyChatError(f'{self.label}: {self.name} is damaged: {name} = {shown(value)} is not {what}')
        return value


def bare(value: Any) -> str:
    """Return a value for a message as `shown` does, a text without quotes: options are written name = value."""
    return shown(value)[1:-1] if isinstance(value, str) else shown(value)
