# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Asks through ROSA with a tool: `ask_rosa.py URL ROS` prints the answer as JSON. Runs in ROSA's own environment."""

from __future__ import annotations

from importlib.metadata import version
import json
import site
import sys

site.addsitedir(sys.argv[2])  # rclpy, after the packages of this environment

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from rosa import ROSA


@tool
def go(x: int) -> str:
    """Go somewhere."""
    return f'I am at {x}.'


def main(url: str) -> None:
    """Let the agent call the tool, beside all of its own."""
    model = ChatOpenAI(base_url=f'{url}/v1', api_key='none', model='scripted', max_retries=0)
    agent = ROSA(ros_version=2, llm=model, tools=[go], streaming=False, show_token_usage=True)
    print(json.dumps({'version': version('jpl-rosa'), 'answer': agent.invoke('Go to 1.')}))


if __name__ == '__main__':
    main(sys.argv[1])
