# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The state of an interrupted run: the residual stream after the last finished layer, and all search results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
import json
from pathlib import Path
import re
import shutil

from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from tinychat_core.errors import TinyChatError
from tinychat_core.quantize.layer import Report, SearchResult
from tinychat_core.quantize.method import Method
from tinychat_core.quantize.search_file import result_of, tensors_of

_OURS = re.compile(r'streams\.safetensors|layer-\d+\.safetensors|new')

Streams = Mapping[str, Sequence[Tensor]]


class Progress:
    """A directory next to OUT: `streams.safetensors`, and a small file per layer with its search result and report."""

    def __init__(self, directory: Path, identity: Mapping[str, str], method: Method, limit: int) -> None:
        """
        Load the state of a run with the same `identity` and at most `limit` layers; remove that of any other run.

        Raises TinyChatError where the directory contains other files.
        """
        self._method = method
        self._directory, self._identity = directory, json.dumps(dict(identity), sort_keys=True)
        self.reports: list[Report] = []
        self.results: dict[int, SearchResult] = {}
        self.streams: dict[str, list[Tensor]] | None = None
        for path in directory.iterdir() if directory.is_dir() else ():
            if not _OURS.fullmatch(path.name):
                raise TinyChatError(f'{path} was not written by tinychat; move it, or choose another name than '
                                    f'{directory.with_suffix("").name}')
        try:
            self._read()
            if self.layers > limit:
                raise ValueError('its checkpoint is gone')
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            self.remove()
            self.reports, self.results, self.streams = [], {}, None

    @property
    def layers(self) -> int:
        """Number of finished layers."""
        return len(self.reports)

    def add(self, report: Report, result: SearchResult, streams: Streams) -> None:
        """Save the results of a layer; TinyChatError where that fails."""
        self.results[self.layers] = result
        self.reports.append(report)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._write(f'layer-{self.layers:05d}.safetensors', tensors_of(result))
            self._write('streams.safetensors', {f'{name}.{i:05d}': chunk for name, chunks in streams.items()
                                                for i, chunk in enumerate(chunks)})
        except (OSError, SafetensorError) as error:
            raise TinyChatError(f'cannot write {self._directory}: {getattr(error, "strerror", error)}') from None

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _write(self, name: str, tensors: dict[str, Tensor]) -> None:
        header = {'identity': self._identity, 'layers': str(self.layers),
                  'report': json.dumps(asdict(self.reports[-1]))}
        save_file(tensors, self._directory / 'new', header)
        (self._directory / 'new').replace(self._directory / name)

    def _read(self) -> None:
        with safe_open(self._directory / 'streams.safetensors', 'pt') as file:
            header = file.metadata()
            if header['identity'] != self._identity:
                raise ValueError('another run')
            streams: dict[str, list[Tensor]] = {}
            for key in sorted(file.keys()):
                streams.setdefault(key.rpartition('.')[0], []).append(file.get_tensor(key))
        for index in range(int(header['layers'])):
            with safe_open(self._directory / f'layer-{index + 1:05d}.safetensors', 'pt') as file:
                if file.metadata()['identity'] != self._identity:
                    raise ValueError('another run')
                self.results[index] = result_of({key: file.get_tensor(key) for key in list(file.keys())}, self._method)
                self.reports.append(Report(**json.loads(file.metadata()['report'])))
        self.streams = streams
