# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The picture of a latency table."""
from __future__ import annotations

from collections.abc import Sequence

from tinychat_core.bench.latency import Latency
from tinychat_core.errors import TinyChatError


def plot_latencies(results: Sequence[Latency], title: str, path: str) -> None:
    """Draw decode tokens/s over context, a line a thread count, into `path`; TinyChatError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TinyChatError('--plot needs matplotlib: pip install matplotlib') from None
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
