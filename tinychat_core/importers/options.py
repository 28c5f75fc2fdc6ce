# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Options of a quantization_config, read with type checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinychat_core.errors import shown, TinyChatError, UnsupportedModelError


class Options:
    """A JSON object. A null option counts as absent; an option of the wrong type raises TinyChatError."""

    def __init__(self, values: Any, label: str, name: str) -> None:
        """Wrap `values`; `label` and `name` locate them in messages."""
        if not isinstance(values, dict):
            raise TinyChatError(f'{label}: {name} is {bare(values)} instead of a JSON object')
        self.label, self.name = label, name
        self._values: Mapping[str, Any] = values

    def __contains__(self, name: str) -> bool:
        """Return whether the option is present and not null."""
        return self._values.get(name) is not None

    def __len__(self) -> int:
        """Return the number of options."""
        return len(self._values)

    def of(self, name: str, kind: type) -> bool:
        """Return whether the option has this type, where several are possible."""
        return type(self._values.get(name)) is kind

    def whole(self, name: str, default: int | None = None) -> int | None:
        """Return an integer of at most nine digits."""
        value: int | None = self._read(name, default, int, 'a whole number')
        if value is not None and abs(value) > 999_999_999:
            raise self.refused(name, 'no number here is so large')
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean."""
        value: bool = self._read(name, default, bool, 'true or false')
        return value

    def text(self, name: str, default: str = '') -> str:
        """Return a string."""
        value: str = self._read(name, default, str, 'a text')
        return value

    def group(self, name: str) -> Options:
        """Return a nested object; empty where it is absent."""
        return Options(self._read(name, {}, dict, 'options'), self.label, f'{self.name}.{name}')

    def groups(self, name: str) -> dict[str, Options]:
        """Return nested objects by name, without those that are null."""
        inner = self.group(name)
        return {key: Options(value, self.label, f'{inner.name}.{bare(key)}')
                for key, value in inner._values.items() if value is not None}

    def group_size(self, name: str = 'group_size') -> int | None:
        """Return the group size; 0 for one scale per row (stored as -1 or null); None where it is absent."""
        if name not in self._values:
            return None
        size = self.whole(name)
        if size is not None and size < -1:
            raise self.refused(name, '-1 or a number of columns is')
        return 0 if size is None else max(size, 0)

    def only(self, name: str, instead: str) -> None:
        """Raise UnsupportedModelError where the option is present and not false, 0 or empty."""
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
        if type(value) is not kind:  # in Python a bool is an int
            raise TinyChatError(f'{self.label}: {self.name} is damaged: {name} = {shown(value)} is not {what}')
        return value


def bare(value: Any) -> str:
    """Return a value as `shown` does, but strings without quotes: messages write name = value."""
    return shown(value)[1:-1] if isinstance(value, str) else shown(value)
