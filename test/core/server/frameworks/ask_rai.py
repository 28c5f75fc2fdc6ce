# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Asks through an agent of RAI with a tool: `ask_rai.py URL` prints the answer as JSON. Runs in RAI's environment."""

from __future__ import annotations

from importlib.metadata import version
import json
import os
from pathlib import Path
import sys
import tempfile

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from rai import get_llm_model
from rai.agents.langchain.core import create_conversational_agent

# As RAI's users write it.
CONFIG = """
[vendor]
simple_model = "openai"
complex_model = "openai"
embeddings_model = "openai"
[openai]
simple_model = "scripted"
complex_model = "scripted"
embeddings_model = "scripted"
base_url = "{url}/v1/"
"""


@tool
def go(x: int) -> str:
    """Go somewhere."""
    return f'I am at {x}.'


def main(url: str) -> None:
    """Let the agent call the tool."""
    os.environ['OPENAI_API_KEY'] = 'none'
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'config.toml'
        path.write_text(CONFIG.format(url=url))
        model = get_llm_model('complex_model', config_path=str(path), streaming=True)
    agent = create_conversational_agent(model, [go], 'You are a robot.')
    messages = agent.invoke({'messages': [HumanMessage('Go to 1.')]})['messages']
    print(json.dumps({'version': version('rai-core'), 'answer': messages[-1].content}))


if __name__ == '__main__':
    main(sys.argv[1])
