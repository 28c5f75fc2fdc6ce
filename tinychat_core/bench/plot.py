# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Plots decode speed over context length."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinychat_core.bench.latency import Latency
from tinychat_core.errors import TinyChatError


def check_plot(path: str) -> None:
    """Raise TinyChatError where `plot_latencies` could not write `path`; call it before measuring."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise TinyChatError('--plot needs matplotlib: pip install matplotlib') from None
    endings = FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix[1:] not in endings:
        raise TinyChatError(f'--plot cannot draw {path}; its name must end in .{", .".join(sorted(endings))}')
    if not Path(path).parent.is_dir():
        raise TinyChatError(f'--plot cannot write {path}: {Path(path).parent} is not a directory')


def plot_latencies(results: Sequence[Latency], title: str, path: str) -> None:
    """Plot decode tokens/s over context, one line per thread count, into `path`; see `check_plot`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout='constrained')
    axes = figure.subplots()
    for threads in sorted({result.threads for result in results}):
        mine = [result for result in results if result.threads == threads]
        axes.plot([r.context for r in mine], [r.decode_tokens_per_s for r in mine], marker='o',
                  label=f'{threads} thread{"s" if threads > 1 else ""}')
    axes.set(xlabel='tokens of context', ylabel='decoded tokens per second', title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
