# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Run one peer in the peers' environment: `peer.py PROGRAM MODEL.gguf THREADS PROMPT NEW_TOKENS` prints one line of JSON.

`peer.py complete MODEL.gguf THREADS NEW_TOKENS` continues prompts instead.

Decode is the median step after a prompt of 4 tokens, prefill the median of three prompts of PROMPT tokens. All prompts
differ, so that no program can reuse a cache. `openvino-parallel` has one more argument, the number of sequences, and
prints their total speed.
"""
from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
import json
from pathlib import Path
from statistics import median
import sys
from time import perf_counter


def prompts(length: int) -> Iterator[list[int]]:
    """Yield token lists with no common beginning."""
    for start in range(5, 1 << 30, 5003):
        yield [(start + 7 * i) % 30000 + 500 for i in range(length)]


def llama_cpp(model: str, threads: int, prompt: int, new_tokens: int) -> tuple[list[float], list[float]]:
    """Return the times of the decode steps and of the prefills [s]."""
    from llama_cpp import Llama

    llama = Llama(model, n_ctx=prompt + new_tokens + 8, n_batch=512, n_threads=threads, n_threads_batch=threads,
                  verbose=False)
    prefills, steps = [], []
    for tokens in islice(prompts(prompt), 4):
        llama.reset()
        start = perf_counter()
        llama.eval(tokens)
        prefills.append(perf_counter() - start)
    llama.reset()
    llama.eval(next(prompts(4)))
    for i in range(new_tokens):
        start = perf_counter()
        llama.eval([i + 5])
        steps.append(perf_counter() - start)
    return steps, prefills[1:]


def openvino(model: str, threads: int, prompt: int, new_tokens: int) -> tuple[list[float], list[float]]:
    """Return the times of the decode steps and of the prefills [s]."""
    import numpy as np
    from openvino import Tensor
    import openvino_genai

    pipeline = openvino_genai.LLMPipeline(model, 'CPU', INFERENCE_NUM_THREADS=threads)

    def metrics(tokens: list[int], count: int) -> openvino_genai.PerfMetrics:
        ids = np.array([tokens], np.int64)
        inputs = openvino_genai.TokenizedInputs(Tensor(ids), Tensor(np.ones_like(ids)))
        return pipeline.generate(inputs, max_new_tokens=count, ignore_eos=True, do_sample=False).perf_metrics

    prefills = [metrics(tokens, 2).get_ttft().mean / 1e3 for tokens in islice(prompts(prompt), 4)]
    steps = [metrics(tokens, new_tokens).get_tpot().mean / 1e3 for tokens in islice(prompts(4), 3)]
    return steps[1:], prefills[1:]


def openvino_parallel(model: str, threads: int, prompt: int, new_tokens: int, sequences: int) -> list[float]:
    """Return the times of the steps in which all sequences decode together [s]."""
    import numpy as np
    from openvino import Tensor
    import openvino_genai

    config = openvino_genai.SchedulerConfig()
    config.cache_size = 1  # GB
    config.max_num_seqs = sequences
    pipeline = openvino_genai.ContinuousBatchingPipeline(model, config, 'CPU', {'INFERENCE_NUM_THREADS': threads})
    handles = []
    for number, tokens in enumerate(islice(prompts(prompt), sequences)):
        options = openvino_genai.GenerationConfig(max_new_tokens=new_tokens, ignore_eos=True, do_sample=False)
        handles.append(pipeline.add_request(number, Tensor(np.array([tokens], np.int64)), options))
    steps = []
    while pipeline.has_non_finished_requests():
        start = perf_counter()
        pipeline.step()
        steps.append(perf_counter() - start)
    # The first steps read the prompts, and in the last one some sequences may have ended.
    return steps[-new_tokens + 1:-1]


def transformers(model: str, threads: int, prompt: int, new_tokens: int, dtype: str) -> tuple[list[float], list[float]]:
    """Return the times of the decode steps and of the prefills [s]."""
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    torch.set_num_threads(threads)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
    prefills, steps = [], []
    with torch.inference_mode():
        for tokens in islice(prompts(prompt), 3):
            start = perf_counter()
            network(torch.tensor([tokens]), logits_to_keep=1)
            prefills.append(perf_counter() - start)
        cache = DynamicCache()
        network(torch.tensor([next(prompts(4))]), past_key_values=cache)
        for i in range(min(new_tokens, 40)):
            start = perf_counter()
            network(torch.tensor([[i + 5]]), past_key_values=cache)
            steps.append(perf_counter() - start)
    return steps, prefills


def requantize(source: str, target: str) -> None:
    """Requantize the GGUF file `source` to Q4_0, llama.cpp's fastest format."""
    from llama_cpp import LLAMA_FTYPE_MOSTLY_Q4_0, llama_model_quantize, llama_model_quantize_default_params

    options = llama_model_quantize_default_params()
    options.ftype, options.allow_requantize = LLAMA_FTYPE_MOSTLY_Q4_0, True
    if llama_model_quantize(source.encode(), target.encode(), options):
        raise SystemExit(f'{source} could not be requantized')


def dequantize(source: str, target: str) -> None:
    """Convert the GGUF file `source` to a Hugging Face directory with transformers, which takes minutes."""
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(Path(source).parent, gguf_file=Path(source).name)
    # The weights are floats now, but the configuration still says that they come from a GGUF file.
    network.hf_quantizer = None
    del network.config.quantization_config
    network.save_pretrained(target)


def complete(model: str, threads: int, new_tokens: int) -> None:
    """Continue each list of tokens in the JSON of standard input, greedily; print the texts as JSON."""
    from llama_cpp import Llama

    llama = Llama(model, n_ctx=4096, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False)
    print(json.dumps([llama.create_completion(tokens, max_tokens=new_tokens, temperature=0.0)['choices'][0]['text']
                      for tokens in json.load(sys.stdin)]))


def main() -> None:
    """Measure and print the result."""
    program, model, *numbers = sys.argv[1:]
    if program == 'complete':
        complete(model, *map(int, numbers))
        return
    if program in ('requantize', 'dequantize'):
        (requantize if program == 'requantize' else dequantize)(model, numbers[0])
        return
    threads, prompt, new_tokens, *sequences = map(int, numbers)
    if program == 'openvino-parallel':
        step = median(openvino_parallel(model, threads, prompt, new_tokens, *sequences))
        print(json.dumps({'parallel': sequences[0] / step}))
        return
    if program == 'llama.cpp':
        steps, prefills = llama_cpp(model, threads, prompt, new_tokens)
    elif program == 'openvino':
        steps, prefills = openvino(model, threads, prompt, new_tokens)
    else:
        steps, prefills = transformers(model, threads, prompt, new_tokens, program.partition('-')[2])
    print(json.dumps({'decode': 1 / median(steps), 'prefill': prompt / median(prefills)}))


if __name__ == '__main__':
    main()
