# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Plots decode speed over the length of the context, or over the number of answers at the same time."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tinychat_core.bench.latency import Latency
from tinychat_core.bench.parallel import ParallelSpeed
from tinychat_core.errors import TinyChatError


def check_plot(path: str) -> None:
    """Raise TinyChatError if no plot can be written to `path`; call it before measuring."""
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
    lines = {f'{threads} thread{"s" if threads > 1 else ""}': [
        (result.context, result.decode_tokens_per_s) for result in results if result.threads == threads]
        for threads in sorted({result.threads for result in results})}
    _plot(lines, title, 'tokens of context', 'decoded tokens per second', path)


def plot_parallel(results: Sequence[ParallelSpeed], title: str, path: str) -> None:
    """Plot tokens/s of all answers together over their number, one line per context, into `path`; see `check_plot`."""
    lines = {f'context {context}': [
        (result.parallel, result.tokens_per_s) for result in results if result.context == context]
        for context in sorted({result.context for result in results})}
    _plot(lines, title, 'answers at the same time', 'tokens per second, all together', path)


def _plot(lines: Mapping[str, Sequence[tuple[float, float]]], title: str, across: str, up: str, path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout='constrained')
    axes = figure.subplots()
    for label, points in lines.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker='o', label=label)
    axes.set(xlabel=across, ylabel=up, title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
