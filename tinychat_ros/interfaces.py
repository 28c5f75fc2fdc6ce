# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The generated interfaces, or the one line that mends their absence."""

from __future__ import annotations

import sys

try:
    from tinychat_interfaces.action import Chat, Task
    from tinychat_interfaces.msg import Message, SamplingParams, State, TaskStep, Token, TokenLogprob, ToolCall
    from tinychat_interfaces.srv import Decide, Embed, GetModelInfo, ResetConversation, Tokenize
except ImportError as error:
    sys.exit(f'tinychat_ros: tinychat_interfaces cannot be imported ({error}); link it into the '
             'workspace with `ln -s tinychat_ros/tinychat_interfaces src/`, then `colcon build` and '
             '`source install/setup.bash`')

__all__ = ['Chat', 'Decide', 'Embed', 'GetModelInfo', 'Message', 'ResetConversation', 'SamplingParams', 'State', 'Task',
           'TaskStep', 'Token', 'TokenLogprob', 'Tokenize', 'ToolCall']
