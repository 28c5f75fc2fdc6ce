# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Asks through litellm: `ask_litellm.py URL` prints what came back as JSON. Runs in litellm's own environment."""

from __future__ import annotations

from importlib.metadata import version
import json
import sys

import litellm

TOOLS = [{'type': 'function', 'function': {'name': 'go', 'description': 'Go somewhere.', 'parameters': {
    'type': 'object', 'properties': {'x': {'type': 'integer'}}, 'required': ['x']}}}]


def main(url: str) -> None:
    """Ask for a call, send its result, and ask for streams of both APIs."""
    openai = {'model': 'openai/scripted', 'api_base': f'{url}/v1', 'api_key': 'none'}
    messages = [{'role': 'user', 'content': 'Go to 1.'}]
    asked = litellm.completion(**openai, messages=messages, tools=TOOLS).choices[0].message
    call = asked.tool_calls[0]
    result = {'role': 'tool', 'tool_call_id': call.id, 'content': 'I am at 1.'}
    answer = litellm.completion(**openai, messages=[*messages, asked.model_dump(), result], tools=TOOLS,
                                frequency_penalty=0.1, presence_penalty=0.1, seed=1, user='me', n=1)
    streams = [litellm.completion(**fields, messages=messages, stream=True) for fields in (
        openai, {'model': 'ollama_chat/scripted', 'api_base': url})]
    print(json.dumps({'version': version('litellm'),
                      'call': [call.function.name, json.loads(call.function.arguments)],
                      'answer': answer.choices[0].message.content, 'tokens': answer.usage.total_tokens,
                      'streams': [''.join(chunk.choices[0].delta.content or '' for chunk in stream)
                                  for stream in streams]}))


if __name__ == '__main__':
    main(sys.argv[1])
