# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Engine: open a model, prefill, decode, score, generate."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import os
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tinychat_core import _tinychat, cuda
from tinychat_core._tinychat import (
    Cache,
    Canceled,
    CancelFlag,
    DeviceError,
    ForwardBatch,
    ForwardResult,
    InvalidBatchError,
    Sampler,
    WeightMemory,
)
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.cores import usable_cores
from tinychat_core.errors import (
    BackendFailedError,
    CheckpointError,
    DoesNotFitError,
    InvalidParameterError,
    PromptTooLongError,
)
from tinychat_core.generation import Generation, SHORTEST_PIECE, Token
from tinychat_core.loading.memory_plan import kv_cache_type, MAX_PARALLEL, PIECE_TOKENS, position_bytes
from tinychat_core.loading.native_tensors import native_tensor, nbytes, without_needless_zeros
from tinychat_core.loading.reader import Checkpoint
from tinychat_core.opening import plan_opening
from tinychat_core.precision import choose_precision
from tinychat_core.sampling import SamplingParams
from tinychat_core.speculation.row_cost import RowCost
from tinychat_core.step import Drawn, FEW_TOKENS, Step
from tinychat_core.text.tokenizer import Tokenizer
from tinychat_core.vision.encoder import VisionEncoder
from tinychat_core.vision.image import Image
from tinychat_core.vision.image_rows import ImageRows, ImageStore

__all__ = ['Cache', 'CancelFlag', 'Canceled', 'Engine', 'ForwardBatch', 'ForwardResult', 'Generation', 'Token']

Prompt = str | Sequence[Mapping[str, Any]] | Sequence[int]
Logits = npt.NDArray[np.float32]
SPECULATION = ('auto', 'off')


class Engine:
    """A model that is ready to answer: weights in memory, the native decoder and the tokenizer."""

    def __init__(self, model: ModelConfig, tensors: Mapping[str, Any], *, weights: str,
                 precision: str | None = None, backend: str = 'auto', threads: int | None = None,
                 max_seq_len: int | None = None, kv_cache: str = 'auto', speculation: str = 'auto',
                 vision: VisionConfig | None = None,
                 copy_files: Callable[[WeightMemory], None] | None = None) -> None:
        """
        Build the decoder over `tensors`, which it reads in place; `Engine.open` does this for a checkpoint.

        A tensor is a float32 vector, or a dictionary with a matrix's format, rows, cols, group_size and arrays.
        `vision`: the configuration of its vision part, with `tensors` named `vision.…`. `speculation`: auto or off, as
        for `Engine.open`. `copy_files` is called to copy files to a device whenever that is set up (CUDA). Raises
        InvalidParameterError for unsupported options, ValueError for tensors that do not fit `model`,
        BackendFailedError for a device without enough memory.
        """
        if speculation not in SPECULATION:
            raise InvalidParameterError(f"unknown speculation '{speculation}'; use {' or '.join(SPECULATION)}")
        library = cuda.usable_library(backend, weights, precision)
        self.backend = 'cpu' if library is None else 'cuda'
        self.precision, activations = choose_precision(precision, weights, self.backend)
        cores = usable_cores()
        if threads is not None and not 1 <= threads <= cores.logical:
            raise InvalidParameterError(f'threads must be 1 .. {cores.logical} (the cores this process may use), '
                                        f'not {threads}')
        limit = model.context_length
        if max_seq_len is not None and not 1 <= max_seq_len <= limit:
            raise InvalidParameterError(f"max_seq_len must be 1 .. {limit} (the model's context length), "
                                        f'not {max_seq_len}')
        self.threads = threads or cores.physical
        self.context_length = max_seq_len or limit
        self.vocab_size = model.vocab_size
        self.longest_piece = PIECE_TOKENS[self.backend]
        self.speculates = speculation == 'auto'
        self.row_cost = RowCost()
        self.draft: Engine | None = None  # a smaller model, whose guesses this one verifies
        self.hidden_size = model.hidden_size
        self.weights_bytes = sum(nbytes(tensor) for tensor in tensors.values())
        if library is None:
            tensors = {name: without_needless_zeros(tensor) for name, tensor in tensors.items()}
        of_vision = {name: tensor for name, tensor in tensors.items() if name.startswith('vision.')}
        tensors = {name: tensor for name, tensor in tensors.items() if name not in of_vision}
        # Bytes that decoding reads per token; of an embedding that is not also the head it reads only one row.
        self.token_bytes = sum(nbytes(tensor) for name, tensor in tensors.items()
                               if name != 'embedding' or 'head' not in tensors)
        # Element type of keys and values: fp32 where the precision promises the results of floats, 16 bits or int8.
        self.kv_cache = kv_cache_type(kv_cache, activations == 'float', self.backend)
        self.kv_cache_bytes = self.context_length * position_bytes(model, self.kv_cache)
        isa = os.environ.get('TINYCHAT_ISA', '')
        if isa and isa not in _tinychat.isas():
            raise InvalidParameterError(f"TINYCHAT_ISA='{isa}' is not available here; use one of "
                                        f'{", ".join(_tinychat.isas())}')

        cuda_library = '' if library is None else str(library)
        # int8 does not represent the outliers of an encoder's activations.
        precise = activations if activations != 'bytes' else 'sixteen_bits' if library is None else 'float'

        def new_stage(config: dict[str, Any], own: dict[str, Any], length: int) -> _tinychat.Decoder:
            return _tinychat.Decoder(config, own, activations=precise, isa=isa, threads=self.threads,
                                     equal_cores=cores.are_equal, max_seq_len=length, cuda_library=cuda_library)

        try:
            self._decoder = _tinychat.Decoder(
                model.to_native(self.context_length), dict(tensors), activations=activations, isa=isa,
                threads=self.threads, equal_cores=cores.are_equal, max_seq_len=self.context_length,
                cuda_library=cuda_library, int8_kv_cache=self.kv_cache == 'int8', place_files=copy_files)
            self.images: ImageStore | None = None
            if vision is not None:
                self.images = ImageStore(VisionEncoder(vision, of_vision, new_stage, self.context_length))
        except DeviceError as error:
            raise BackendFailedError(str(error)) from None
        # An instruction set, or the name of the device.
        self.isa: str = self._decoder.isa if library is None else _tinychat.cuda_device(str(library))['name']
        # The tiles of AMX hold 16 tokens: 9 … 16 of them take the same time.
        self.shortest_piece = 16 if self.isa == 'amx' else SHORTEST_PIECE
        self.path: Path | None = None
        self.family = ''
        self.group_size = 0
        self.parallel = 1  # sequences for which the memory was planned
        self._tokenizer: Tokenizer | None = None
        self._checkpoint: Checkpoint | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], precision: str | None = None, backend: str = 'auto',
             threads: int | None = None, max_seq_len: int | None = None,
             progress: Callable[[float], None] | None = None, cancel: CancelFlag | None = None, *,
             kv_cache: str = 'auto', caches: int = 1, parallel: int = 1, speculation: str = 'auto',
             draft_model: str | os.PathLike[str] | None = None, memory: int | None = None, verify: str = 'full',
             early: bool = False, staged: bool = False, lock: bool = False) -> Engine:
        """
        Plan the memory, then map a split checkpoint and verify its checksums.

        `precision`: one of precision.PRECISIONS; None is the default for the weights. `threads`: None is every physical
        core that the process may use. `max_seq_len`: positions of a KV cache; None or 0 is the model's context length,
        or as much of it as fits. `progress` receives the fraction verified, 0 .. 1. `backend`: auto, cpu or cuda.
        `kv_cache`: auto, or int8 for half of the memory. `caches`: KV caches that are kept, for the plan. `parallel`:
        sequences that are computed at the same time, each with a cache; 0: as many as fit, up to AUTO_PARALLEL.
        `speculation`: auto: tokens are guessed if that makes an answer faster, and verified, so the answer does not
        change; off: no guesses. `draft_model`: a smaller checkpoint with the same tokenizer, whose guesses are
        verified. `memory`: bytes that may be used; None: what the system or the device has free, without swap.
        `verify`: full, or size to skip the checksums of the weights. `early`: return while verification continues; no
        logits are returned before it has finished. `staged`: copy the weights instead of mapping them. `lock`: keep the
        mapping in memory. Raises DoesNotFitError before anything is read, CheckpointError, InvalidParameterError,
        BackendFailedError, and Canceled once `cancel` is set.
        """
        if backend not in cuda.BACKENDS:
            raise InvalidParameterError(f"backend = '{backend}' is unknown; use {', '.join(cuda.BACKENDS)}")
        if not 0 <= parallel <= MAX_PARALLEL:
            raise InvalidParameterError(f'parallel must be 0 .. {MAX_PARALLEL} (0: as many as fit), not {parallel}')

        def report(fraction: float) -> None:
            if cancel is not None and cancel.is_set():
                raise Canceled('canceled')
            if progress is not None:
                progress(fraction)

        opening = plan_opening(Path(path), precision, backend, max_seq_len or 0, kv_cache=kv_cache, caches=caches,
                               parallel=parallel, memory=memory, staged=staged)
        manifest = opening.manifest
        checkpoint = Checkpoint.open(path, verify, report, plan=opening.load_plan,
                                     early=early and opening.library is None, lock=lock)
        try:
            tensors = {name: native_tensor(checkpoint, name, opening.widens) for name in manifest.tensors}
            engine = cls(manifest.model, tensors, weights=manifest.weights, precision=precision,
                         backend=opening.backend, threads=threads, max_seq_len=opening.needs.max_seq_len,
                         kv_cache=kv_cache, speculation=speculation, vision=manifest.vision,
                         copy_files=checkpoint.copy_to_device if opening.copies_files else None)
            engine._tokenizer = Tokenizer.open(checkpoint.path)
            if not early:
                checkpoint.check()
        except ValueError as error:
            checkpoint.close()
            if isinstance(error, InvalidParameterError):
                raise
            raise CheckpointError(f'{checkpoint.path}: {error}') from None
        except BaseException:
            checkpoint.close()
            raise
        engine._checkpoint = checkpoint
        engine.path = checkpoint.path
        engine.parallel = opening.parallel
        engine.family = manifest.family
        engine.group_size = manifest.group_size
        if draft_model and engine.speculates:
            try:
                engine.draft = _draft_of(engine, draft_model, opening.room_left, verify, cancel)
            except BaseException:
                engine.close()
                raise
        return engine

    @property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer; a model with random weights has none."""
        assert self._tokenizer is not None
        return self._tokenizer

    def new_cache(self) -> Cache:
        """
        Return an empty KV cache of `context_length` positions; on the CPU its memory is used as it fills.

        Raises BackendFailedError where the device does not have enough memory.
        """
        try:
            return self._decoder.new_cache()
        except DeviceError as error:
            raise BackendFailedError(str(error)) from None

    def check_files(self) -> str:
        """Return a warning about the model's files, or ''; CheckpointError where the next forward pass would fail."""
        return '' if self._checkpoint is None else self._checkpoint.check_files()

    def prefill(self, cache: Cache, tokens: Sequence[int], cancel: CancelFlag | None = None) -> Logits:
        """
        Append tokens [n] to the cache and return the logits [vocab] after the last one.

        Raises PromptTooLongError where the cache is too short, InvalidParameterError for no tokens or one outside the
        vocabulary, Canceled once `cancel` is set (the cache then holds the chunks that were completed),
        BackendFailedError where the device failed, CheckpointError where the files have changed or are damaged.
        """
        self._check_room(cache, tokens)
        return cast(Logits, self.forward(self._batch_of(cache, tokens, logits='last'), cancel).logits[0])

    def decode(self, cache: Cache, token: int, cancel: CancelFlag | None = None) -> Logits:
        """Append one token to the cache and return the logits [vocab] after it; raises like `prefill`."""
        return self.prefill(cache, (token,), cancel)

    def sample(self, cache: Cache, tokens: Sequence[int], sampler: Sampler,
               allowed: npt.NDArray[np.uint32] | None = None, cancel: CancelFlag | None = None) -> int:
        """
        Append tokens [n] to the cache and return the next token, which `sampler` draws; raises like `prefill`.

        The result equals `sampler.sample` on the logits, but a device transfers only those that the sampler looks at.
        `allowed`: one bit per token that may be drawn, uint32 [ceil(vocab/32)]. ValueError where no token is allowed or
        a logit is not finite.
        """
        self._check_room(cache, tokens)
        (drawn,) = self.run([Step(cache, tokens, sampler, allowed=allowed)], cancel)
        if drawn.error:
            raise ValueError(drawn.error)
        return drawn.tokens[0]

    def run(self, steps: Sequence[Step], cancel: CancelFlag | None = None) -> list[Drawn]:
        """
        Compute the steps of several sequences in one forward pass, and return the sampled tokens of each.

        Afterwards the caches contain all tokens, wrong guesses included: truncate them. A draw that fails does not
        affect the others. Raises like `forward`.
        """
        batch = ForwardBatch()
        for step in steps:
            self.add_sequence(batch, step.tokens, step.cache, sampler=step.sampler, allowed=step.allowed,
                              guesses=step.guesses)
        begin = perf_counter()
        drawn = iter(self.forward(batch, cancel).drawn)
        if all(len(step.tokens) <= FEW_TOKENS for step in steps):
            self.row_cost.note(perf_counter() - begin, batch.num_tokens)
        return [Drawn() if step.sampler is None else Drawn(*next(drawn)) for step in steps]

    def score(self, tokens: Sequence[int]) -> Logits:
        """Return the logits [n, vocab] after each of tokens [n], using a new cache; raises like `prefill`."""
        cache = self.new_cache()
        self._check_room(cache, tokens)
        return self.forward(self._batch_of(cache, tokens, logits='all')).logits

    def forward(self, batch: ForwardBatch, cancel: CancelFlag | None = None) -> ForwardResult:
        """
        Append the tokens of each sequence of a batch to its cache, and return the requested outputs.

        The numbers of a sequence do not depend on the other sequences. Raises InvalidParameterError, before anything is
        computed, for a batch that the model does not allow (`_tinychat.Decoder.forward` lists the reasons), and
        Canceled, BackendFailedError and CheckpointError like `prefill`.
        """
        self.check_files()
        try:
            result = self._decoder.forward(batch, cancel)
        except InvalidBatchError as error:
            raise InvalidParameterError(str(error)) from None
        except DeviceError as error:
            raise BackendFailedError(str(error)) from None
        if self._checkpoint is not None:
            try:
                self._checkpoint.check()
            except CheckpointError:
                for cache in batch.caches:
                    cache.truncate(0)  # computed from damaged weights
                raise
        return result

    def generate(self, prompt: Prompt, params: SamplingParams | None = None, cache: Cache | None = None,
                 cancel: CancelFlag | None = None) -> Generation:
        """
        Return an iterator of Token.

        `prompt`: text, chat messages ({'role', 'content'}, a user's also with `images`, a list of Image; formatted with
        the model's template; an assistant's message at the end is continued) or tokens; appended to `cache` (None: a
        new one). Raises PromptTooLongError or InvalidParameterError when called, not at the first token.
        """
        continues, images = False, list[ImageRows]()
        if isinstance(prompt, str):
            # Tokens that begin a text, such as LLaMA's BOS, belong only at the start of a cache.
            tokens = self.tokenizer.encode(prompt, add_bos=cache is None or cache.length == 0)
        elif prompt and isinstance(prompt[0], Mapping):
            messages = [{**message, 'images': self.encode_images(message.get('images', ()), cancel)}
                        for message in cast('Sequence[Mapping[str, Any]]', prompt)]
            tokens = self.tokenizer.encode_chat(messages)
            continues = messages[-1]['role'] == 'assistant'
            images = [rows for message in messages for rows in message['images']]
        else:
            tokens = list(cast('Sequence[int]', prompt))
        return Generation(self, tokens, params or SamplingParams(), cache, cancel, continues=continues, images=images)

    def add_sequence(self, batch: ForwardBatch, tokens: Sequence[int], cache: Cache, **wanted: Any) -> None:
        """
        Add a part of a prompt to a batch; its tokens may be rows of images (see vision.image_rows).

        `wanted`: what ForwardBatch.add_sequence computes for it, for example `logits` or `sampler`. Raises
        InvalidParameterError if the batch refuses it, or if an image is no longer stored.
        """
        inputs = {'tokens': tokens} if self.images is None else self.images.inputs(tokens, cache)
        try:
            batch.add_sequence(cache=cache, **inputs, **wanted)
        except InvalidBatchError as error:
            raise InvalidParameterError(str(error)) from None

    def encode_images(self, images: Sequence[Image], cancel: CancelFlag | None = None) -> list[ImageRows]:
        """
        Return the rows that stand for images in a prompt; whoever uses their numbers holds them.

        Raises InvalidParameterError where the model sees no images, PromptTooLongError, before anything is encoded, for
        more than the context holds, and Canceled once `cancel` is set.
        """
        if not images:
            return []
        if self.images is None:
            raise InvalidParameterError('the model sees no images; send text alone, or load a vision-language model')
        count = sum(self.images.count(image.pixels.shape[1], image.pixels.shape[0]) for image in images)
        if count >= self.context_length:
            raise PromptTooLongError(f'{len(images)} image{"s" * (len(images) > 1)} need {count} tokens, but the '
                                     f'context has only {self.context_length}; send fewer or smaller ones')
        self.check_files()
        return [self.images.encode(image, cancel) for image in images]

    def step_seconds(self) -> dict[str, float]:
        """Return the seconds that the decoder has spent in each fused step since it was opened."""
        return self._decoder.step_seconds()

    def close(self) -> None:
        """Release the decoder's buffers and the mapping; the engine must not be used afterwards."""
        del self._decoder
        if self.draft is not None:
            self.draft.close()
        if self.images is not None:
            self.images.close()
        if self._checkpoint is not None:
            self._checkpoint.close()

    def _batch_of(self, cache: Cache, tokens: Sequence[int], **wanted: Any) -> ForwardBatch:
        batch = ForwardBatch()
        self.add_sequence(batch, tokens, cache, **wanted)
        return batch

    def _check_room(self, cache: Cache, tokens: Sequence[int]) -> None:
        if len(tokens) == 0:
            raise InvalidParameterError('there are no tokens to decode')
        if len(tokens) > cache.capacity - cache.length:
            raise PromptTooLongError(f'{len(tokens)} tokens do not fit: {cache.capacity - cache.length} of '
                                     f'{cache.capacity} positions are left')


def _draft_of(engine: Engine, path: str | os.PathLike[str], memory: int, verify: str,
              cancel: CancelFlag | None) -> Engine:
    """Open the draft model of an engine in the memory that is left. Its context may be shorter."""
    length = min(engine.context_length, Manifest.read(Path(path)).model.context_length)
    try:
        draft = Engine.open(path, backend=engine.backend, threads=engine.threads, max_seq_len=length, cancel=cancel,
                            parallel=engine.parallel, speculation='off', memory=max(memory, 0), verify=verify)
    except DoesNotFitError as error:
        raise DoesNotFitError(f'the draft model does not fit into the memory that the model leaves: {error}') from None
    if not draft.tokenizer.has_same_tokens(engine.tokenizer):
        draft.close()
        raise InvalidParameterError(f'the draft model {path} has another tokenizer than {engine.path}; use a smaller '
                                    'model of the same family')
    return draft
