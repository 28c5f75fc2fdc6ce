# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The quantization methods and the precisions that they produce."""

from __future__ import annotations

from dataclasses import dataclass

from tinychat_core.errors import InvalidParameterError

METHODS = ('awq', 'smoothquant', 'rtn')
PRECISIONS = ('W4A16', 'W4A8', 'W8A8')


@dataclass(frozen=True)
class Method:
    """A method's name, the precision that the model will run in, and the group size."""

    name: str
    precision: str
    group_size: int

    @classmethod
    def of(cls, name: str, precision: str | None = None, group_size: int = 128) -> Method:
        """Return a method; InvalidParameterError where it does not support the precision."""
        precision = precision or ('W8A8' if name == 'smoothquant' else 'W4A16')
        if (name == 'smoothquant') != (precision == 'W8A8') and name != 'rtn':
            raise InvalidParameterError(f'--method {name} does not support --precision {precision}: awq makes W4A16 '
                                        'and W4A8, smoothquant W8A8')
        return cls(name, precision, 0 if precision == 'W8A8' else group_size)

    @property
    def format(self) -> str:
        """The format of the decoder layers' matrices."""
        if self.precision == 'W8A8':
            return 'w8c'
        return 'w4z' if self.name == 'rtn' else 'w4m'

    @property
    def smooths(self) -> bool:
        """Whether scales make inputs easier to round, rather than weights."""
        return self.name == 'smoothquant'

    @property
    def rounds_inputs(self) -> bool:
        """Whether the model will run with 8-bit activations."""
        return self.precision.endswith('A8')

    @property
    def calibrates(self) -> bool:
        """Whether the method needs a calibration text."""
        return self.name != 'rtn'
