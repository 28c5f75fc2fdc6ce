# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
r"""
Tool calls on public questions: how many are valid and right, next to llama.cpp with the same weights and prompts.

    .venv/bin/python benchmarks/tool_calls.py models/smollm2-135m-instruct \
        --gguf models/SmolLM2-135M-Instruct.Q4_1.gguf --cases 80

Asks `tinychat serve` with the client `openai`, greedily: with `tool_choice: auto`, and with `required`, whole and
streamed. With --gguf, llama.cpp (in the environment that benchmarks/peers.py makes) continues the same prompt tokens.
Its text is read in two ways: only what is between <tool_call> and its end, and every JSON object that has a name and
arguments, wherever it is. The questions and the judgement come from the Berkeley Function-Calling Leaderboard
(bfcl.py).
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
import json
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

from bfcl import Case, cases, FILES
import jsonschema
import openai
from served import served

from tinychat_core.text.tokenizer import Tokenizer
from tinychat_core.text.tool_calls.tools import tool_use

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / 'build' / 'peers' / 'venv' / 'bin' / 'python'
MAX_TOKENS = 300
Calls = list[tuple[str, str]]  # each a name, and its arguments as text


def whole(client: openai.OpenAI, case: Case, choice: str) -> Calls:
    """Return the calls of an answer."""
    message = client.chat.completions.create(**_question(case), tool_choice=choice).choices[0].message
    return [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]


def streamed(client: openai.OpenAI, case: Case) -> Calls:
    """Return the calls from the deltas of a stream; an answer that was cut off may end with a part of one."""
    calls: dict[int, list[str]] = {}
    reason = None
    for chunk in client.chat.completions.create(**_question(case), tool_choice='required', stream=True):
        reason = chunk.choices[0].finish_reason
        for delta in chunk.choices[0].delta.tool_calls or ():
            call = calls.setdefault(delta.index, ['', ''])
            call[0] += delta.function.name or ''
            call[1] += delta.function.arguments or ''
    found = [(name, arguments) for name, arguments in calls.values()]
    return found[:-1] if found and reason == 'length' and not _is_json(found[-1][1]) else found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _question(case: Case) -> dict[str, Any]:
    return {'model': '', 'messages': case.messages, 'tools': case.tools, 'temperature': 0, 'max_tokens': MAX_TOKENS}


def llama_cpp(gguf: Path, model: Path, asked: Sequence[Case], threads: int) -> list[str]:
    """Return what llama.cpp writes after the same tokens."""
    tokenizer = Tokenizer.open(model)
    prompts = [tokenizer.encode_chat(case.messages, tools=tool_use(case.tools)) for case in asked]
    done = subprocess.run([PEERS, HERE / 'peer.py', 'complete', gguf, str(threads), str(MAX_TOKENS)],
                          input=json.dumps(prompts), stdout=subprocess.PIPE, text=True, check=True)
    texts: list[str] = json.loads(done.stdout)
    return texts


def between_marks(text: str) -> Calls:
    """Return the calls in a text, each between <tool_call> and its end."""
    calls = []
    for written in re.findall(r'<tool_call>\s*(.*?)\s*(?:</tool_call>|$)', text, re.DOTALL):
        try:
            call = json.loads(written)
            calls.append((str(call['name']), json.dumps(call['arguments'])))
        except (ValueError, TypeError, KeyError):
            calls.append(('', ''))  # which is neither valid nor right
    return calls


def anywhere(text: str) -> Calls:
    """Return the JSON objects in a text that have a name and arguments."""
    calls, at = [], text.find('{')
    while at >= 0:
        try:
            value, end = json.JSONDecoder().raw_decode(text, at)
        except ValueError:
            value, end = None, at + 1
        if isinstance(value, dict) and {'name', 'arguments'} <= {*value}:
            calls.append((str(value['name']), json.dumps(value['arguments'])))
        at = text.find('{', end)
    return calls


def is_valid(case: Case, call: tuple[str, str]) -> bool:
    """Return whether a call names a tool of the question, and its arguments match the tool's schema."""
    schemas = {tool['function']['name']: tool['function']['parameters'] for tool in case.tools}
    name, arguments = call
    try:
        jsonschema.validate(json.loads(arguments), {**schemas[name], 'additionalProperties': False})
    except (KeyError, ValueError, jsonschema.ValidationError):
        return False
    return True


def figures(asked: Sequence[Case], answers: Sequence[Calls]) -> dict[str, int]:
    """Return how many calls there are, how many are valid, and how many questions are answered right."""
    calls = [(case, call) for case, answer in zip(asked, answers, strict=True) for call in answer]
    return {'questions': len(asked), 'calls': len(calls), 'valid': sum(is_valid(*each) for each in calls),
            'right': sum(_is_right(case, answer) for case, answer in zip(asked, answers, strict=True))}


def _is_right(case: Case, calls: Calls) -> bool:
    try:
        return case.is_right([(name, json.loads(arguments)) for name, arguments in calls])
    except ValueError:
        return False


def main() -> None:
    """Ask, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', type=Path)
    parser.add_argument('--gguf', type=Path, help='the same weights, for llama.cpp')
    parser.add_argument('--cases', type=int, default=80, help='of each kind (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', action='store_true', help='print the figures as one line of JSON')
    options = parser.parse_args()
    rows: dict[str, dict[str, dict[str, int]]] = {}
    with served(options.model, ['--threads', str(options.threads), '--max-seq-len', '4096']) as url:
        client = openai.OpenAI(base_url=f'{url}/v1', api_key='none', max_retries=0, timeout=600)
        for kind in FILES:
            asked = cases(kind, options.cases)
            # Each question three times in turn, so that its prompt is read once.
            found = [(whole(client, case, 'auto'), whole(client, case, 'required'), streamed(client, case))
                     for case in asked]
            for name, answers in zip(('auto', 'required', 'required, streamed'), zip(*found, strict=True), strict=True):
                rows.setdefault(kind, {})[name] = figures(asked, answers)
            rows[kind]['required, streamed']['differ'] = sum(calls != others for _, calls, others in found)
            if options.gguf:
                texts = llama_cpp(options.gguf, options.model, asked, options.threads)
                rows[kind]['llama.cpp'] = figures(asked, [between_marks(text) for text in texts])
                rows[kind]['llama.cpp, any JSON'] = figures(asked, [anywhere(text) for text in texts])
            print(kind, json.dumps(rows[kind]), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(rows))
        return
    print('| questions | | answered right | calls | of these valid |\n|---|---|---|---|---|')
    for kind, row in rows.items():
        for name, each in row.items():
            print(f"| {kind} | {name} | {each['right']} of {each['questions']} | {each['calls']} "
                  f"| {100 * each['valid'] / max(each['calls'], 1):.1f}% |")


if __name__ == '__main__':
    main()
