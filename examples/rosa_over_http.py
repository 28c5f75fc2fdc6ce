#!/usr/bin/env python3
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
ROSA, an agent that inspects a ROS 2 system, with a model on the robot instead of the cloud.

    pip install jpl-rosa      # in an environment of its own; ROS 2 must be sourced
    ros2 launch tinychat_ros chat.launch.py model:=/models/qwen2.5-3b params_file:=http.yaml  # http_port: 8000
    python3 rosa_over_http.py "Which topics are there?"
"""

from __future__ import annotations

import argparse
import os
import sys

from langchain_openai import ChatOpenAI
from openai import OpenAI, OpenAIError
from rosa import ROSA


def main() -> int:
    """Ask ROSA once. Returns 1 if there is no answer."""
    parser = argparse.ArgumentParser(description='Ask ROSA with a model of the chat node.')
    parser.add_argument('query')
    parser.add_argument('--url', default='http://127.0.0.1:8000/v1', help='of the HTTP server (default: %(default)s)')
    arguments = parser.parse_args()
    key = os.environ.get('TINYCHAT_API_KEY', 'none')  # the client insists on one
    try:
        model = OpenAI(base_url=arguments.url, api_key=key).models.list().data[0].id
        # A small model may go on until the context is full.
        llm = ChatOpenAI(base_url=arguments.url, api_key=key, model=model, temperature=0.0, max_tokens=500)
        rosa = ROSA(ros_version=2, llm=llm, streaming=False)
        print(rosa.invoke(arguments.query))
    except OpenAIError as error:
        print(f'{arguments.url}: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
