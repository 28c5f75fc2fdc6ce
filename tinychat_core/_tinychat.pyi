# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The native runtime: decoder, KV cache and sampler."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.uint32]
Logprobs = tuple[float, list[tuple[int, float]]]  # of the sampled token; then the likeliest tokens, with theirs


class Canceled(Exception):
    """A forward pass was canceled."""


class DeviceError(RuntimeError):
    """A device failed, or cannot be used."""


class InvalidBatchError(ValueError):
    """A batch that cannot be computed: nothing has been, and no cache has changed."""


class CancelFlag:
    """Stops a decoder that runs in another thread, before its next layer."""

    def __init__(self) -> None: ...

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def is_set(self) -> bool: ...


class Cache:
    """Keys and values of one sequence; `Decoder.new_cache` makes it."""

    @property
    def length(self) -> int:
        """Tokens in the cache."""

    @property
    def capacity(self) -> int:
        """Tokens there is room for."""

    @property
    def bytes(self) -> int:
        """Memory reserved; a page is provided when it is first written."""

    def truncate(self, length: int) -> None:
        """Forget all tokens from `length` on; ValueError for more than there are."""

    def next_position(self, tokens: int) -> int:
        """Return the largest position of the first `tokens` tokens, plus one."""

    def copy_prefix(self, source: Cache, length: int) -> None:
        """Replace the content by the first `length` tokens of another cache of the same decoder; ValueError."""


class Sampler:
    """Draws the next token; `sampling.SamplingParams` explains the parameters."""

    def __init__(self, seed: int, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0,
                 repetition_penalty: float = 1.0, dry_multiplier: float = 0.0, dry_base: float = 1.75,
                 dry_allowed_length: int = 2, dry_penalty_last_n: int = -1, dry_breakers: Mask | None = None,
                 frequency_penalty: float = 0.0, presence_penalty: float = 0.0,
                 logit_bias: Mapping[int, float] = ..., top_logprobs: int = -1) -> None:
        """
        Begin without tokens; ValueError for what is out of range.

        `dry_breakers`: tokens over which no repetition reaches. `top_logprobs`: how many alternatives `logprobs` has;
        -1: it is not computed.
        """

    def accept(self, token: int, is_prompt: bool = False) -> None:
        """Record a token. frequency_penalty and presence_penalty ignore the tokens of the prompt."""

    def sample(self, logits: Floats, allowed: Mask | None = None) -> int:
        """Draw a token from logits [vocab]; ValueError where none is allowed, or a logit is no finite number."""

    @property
    def logprobs(self) -> Logprobs:
        """
        Of the last draw: the log probability of the token, and the most likely tokens with theirs.

        Natural logarithms, before penalties, mask and temperature.
        """


class ForwardResult:
    """What a forward pass found, in the order in which it was asked for."""

    @property
    def logits(self) -> Floats:
        """Logits [rows, vocab]."""

    @property
    def top_k(self) -> list[tuple[Ids, Floats]]:
        """For each request: ids [k] and their logits [k], likelier first."""

    @property
    def drawn(self) -> list[tuple[list[int], str, list[Logprobs]]]:
        """
        For each sampler: the sampled ids, the error that stopped it or '', and Sampler.logprobs of each, if recorded.

        The sampler has accepted all of them but the last.
        """

    @property
    def hidden(self) -> Floats:
        """Hidden states [rows, hidden_size] after the final norm."""


class ForwardBatch:
    """
    The tokens of several sequences, and what is wanted of them. One text prompt is a batch of one sequence.

    A sequence's numbers are the same alone and beside others.
    """

    def __init__(self) -> None: ...

    def add_sequence(
            self, tokens: Sequence[int] | npt.NDArray[np.integer[Any]], cache: Cache | None = None, *,
            embeddings: Floats | None = None,
            positions: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
            bidirectional: Sequence[tuple[int, int]] = (),
            logits: Literal['none', 'last', 'all'] | Sequence[int] | npt.NDArray[np.integer[Any]] = 'none',
            top_k: Sequence[tuple[int, int, float, Mask | None, Mask | None]] = (),
            sampler: Sampler | None = None, allowed: Mask | None = None, guesses: int = 0,
            hidden: Literal['none', 'last', 'all'] | Sequence[int] | npt.NDArray[np.integer[Any]] = 'none') -> None:
        """
        Add a sequence.

        `tokens` [n]: ids, or -1 for the next row of `embeddings` float32 [rows, width], which takes the place of the
        embedding's row, its scale included. `cache`: the tokens are appended to it, and each attends to those before
        it; None: nothing is stored, and every token attends to every other (encoders). `positions` [n], or [n, 3] for
        M-RoPE; None: the index in the cache. `bidirectional`: (begin, end) of spans whose tokens also attend to each
        other in both directions. `logits`, `hidden`: the tokens, by index in the sequence, for which logits or the
        hidden states after the final norm are returned. `top_k`: (token, k, penalty, seen, allowed) for the k likeliest
        tokens after a token, after the repetition penalty of the tokens in `seen` and among `allowed`. `sampler`:
        samples the token after the last one, among `allowed`. `guesses`: how many of the last tokens are only guesses.
        The sampler then samples the token after the one before them, and after each guess until one is wrong. `allowed`
        then has a row for each sampled token. Masks: one bit per token, uint32 [ceil(vocab/32)].

        Raises InvalidBatchError for arrays of another shape or type; the batch stays as it was.
        """

    @property
    def caches(self) -> list[Cache]:
        """The caches of the causal sequences."""

    @property
    def num_tokens(self) -> int: ...

    @property
    def num_sequences(self) -> int: ...


class WeightMemory:
    """Where files of weights go on a device. All methods raise DeviceError."""

    def buffer(self, size: int) -> memoryview:
        """Return memory that `copy` is fast from; it ends when the weights are placed."""

    def allocate(self, mapping: Buffer) -> int:
        """Return a handle of memory as large as a mapping; tensors of the mapping will be read from it."""

    def copy(self, handle: int, offset: int, chunk: Buffer) -> None:
        """Begin to copy a chunk into what `allocate` returned."""

    def synchronize(self) -> None:
        """Wait until all chunks are copied."""


class Decoder:
    """A model's layers over mapped tensors, which stay alive with it."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, Any], *, activations: str, isa: str,
                 threads: int, max_seq_len: int, equal_cores: bool = True, cuda_library: str = '',
                 int8_kv_cache: bool = False, place_files: Callable[[WeightMemory], None] | None = None) -> None:
        """
        Check the model and allocate the buffers.

        `equal_cores`: whether the threads' cores are equally fast. `cuda_library`: its path, to decode on a GPU.
        `place_files`: called with a WeightMemory whenever that is set up, to copy files there. Raises ValueError if
        tensors do not fit the model, DeviceError if there is no GPU or it has too little memory.
        """

    def new_cache(self) -> Cache:
        """Return an empty cache of `max_seq_len` tokens."""

    def forward(self, batch: ForwardBatch, cancel: CancelFlag | None = None) -> ForwardResult:
        """
        Append the tokens of each sequence to its cache, and return the requested outputs.

        Raises InvalidBatchError, before anything is computed, for an empty batch, a token outside the vocabulary, an
        embedding of another width, a position outside the context, a cache that is full, belongs to another decoder or
        occurs twice, and a mask that is too short. Raises Canceled once `cancel` is set, and DeviceError.
        """

    def step_seconds(self) -> dict[str, float]:
        """Return the seconds spent so far, by fused step."""

    @property
    def isa(self) -> str: ...

    @property
    def threads(self) -> int: ...


class MappingGuard:
    """Makes pages of a mapping that its file has lost read as zeros, instead of a SIGBUS."""

    def __init__(self, mapping: Buffer) -> None:
        """Guard a mapping, which must outlive this; RuntimeError for more than 4096."""

    @property
    def lost(self) -> int:
        """Pages that were read and were not there."""


class CudaDevice(TypedDict):
    """What a CUDA library finds."""

    name: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    integrated: bool
    memory: int
    free_memory: int


def exit_after_signal(signals: Sequence[int], seconds: float, message: str) -> None:
    """
    Exit with code 1, after a message on stderr, `seconds` after the first of `signals`, even if Python cannot run.

    Call it once, after signal.signal(). The handlers are still called. Raises ValueError for a signal without one.
    """


def isas() -> list[str]:
    """Return the instruction sets that this build has and this CPU supports, best first."""


def read_bandwidth(bytes: int, threads: int, rounds: int = 9) -> float:
    """Return the bytes a second at which threads together read a buffer: the median of `rounds`."""


def cuda_device(library: str) -> CudaDevice:
    """Return what the CUDA library at a path finds; DeviceError, saying why it cannot be used."""


def cuda_copy_bandwidth(library: str) -> float:
    """Return the bytes that the device reads and writes a second in a large copy; DeviceError."""


def cuda_time_gemm(library: str, format: str, rows: int, cols: int, group_size: int, tokens: int,
                   int8_activations: bool = False) -> tuple[float, float]:
    """Return the seconds of a GEMM with random weights, and the bytes that it reads and writes; DeviceError."""
