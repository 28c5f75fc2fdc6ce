# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the agent node. None changes while it runs: what a task may do is fixed when the node starts."""

from __future__ import annotations

from tinychat_ros.parameters import BIG, Declared, NEVER

SYSTEM_PROMPT = (
    'You control a robot by calling functions. Call one function at a time, in the order of the instruction, and wait '
    'for its result. Do only what the instruction asks for. If a result says that a call failed or is not allowed, '
    'do not repeat it unchanged. When everything is done, or cannot be done, say so in one sentence.')

PARAMETERS = (
    Declared('tools_file', '', 'YAML file with the tools: everything that the model may do with the robot.', NEVER),
    Declared('chat', 'tinychat/chat', 'Action of the chat node that answers, relative to the namespace of the agent.',
             NEVER),
    Declared('dry_run', False,
             'true: check, publish and log every call, but send nothing to the robot; topics are read.', NEVER),
    Declared('system_prompt', SYSTEM_PROMPT, 'System prompt of the model.', NEVER),
    Declared('max_steps', 10, 'Maximum number of calls in a task that does not set it.', NEVER, low=1, high=1000),
    Declared('time_limit', 300.0, 'Maximum time of a task that does not set it [s]; 0: no limit.', NEVER,
             low=0.0, high=1e6),
    Declared('on_client_lost', 'finish',
             "What to do when every client that followed a task's feedback has gone: finish or cancel it. A clean exit "
             'is noticed at once, a killed client after up to 20 s.', NEVER, choices=('finish', 'cancel')),
    Declared('max_identical_calls', 3, 'Maximum number of calls of a tool with the same arguments in a task.', NEVER,
             low=1, high=1000),
    Declared('confirm_time_limit', 30.0, 'Maximum time that a call with `confirm` waits for a person [s].', NEVER,
             low=1.0, high=86400.0),
    Declared('max_new_tokens', 512, 'Maximum length of each answer of the model [tokens].', NEVER, low=1, high=BIG),
    Declared('temperature', 0.0, 'Sampling temperature of the model; 0: always the most likely token.', NEVER,
             low=0.0, high=100.0),
)
