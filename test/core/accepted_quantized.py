# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: directories that AutoAWQ, GPTQ and compressed-tensors have quantized."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import packed_formats as packed
import small_huggingface as small

Case = Callable[[Path], Sequence[str]]

AWQ = {'quant_method': 'awq', 'bits': 4, 'group_size': 32, 'version': 'gemm', 'zero_point': True}


def directory(config: dict[str, Any], pack: Any, **grid: Any) -> Case:
    """Return a directory with a quantization_config whose matrices are packed; `grid`: options of `packed.grid`."""
    def case(tmp_path: Path) -> Sequence[str]:
        made, _ = packed.model(pack, **grid)
        return [str(small.save(tmp_path / 'theirs', made, {'quantization_config': config}))]

    return case


CASES: dict[str, list[Case]] = {
    'AutoAWQ, 4 bits, gemm': [directory(AWQ, packed.awq_gemm, group_size=32)],
}
