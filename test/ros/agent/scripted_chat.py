# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A chat node that says what a test wants to hear, as a process. It misbehaves where no real one would.

The last message of a user is the script: a JSON list of answers, each an object with any of text, calls (a list of
[name, arguments]), status (abort, silent), error_code, finish_reason, fits (the most messages). The answer after the
last one is "Done.".
Each goal is printed as a JSON object: what the agent has sent.
"""

from __future__ import annotations

import json
from time import sleep
from typing import Any

import rclpy
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

from tinychat_ros.interfaces import Chat, ToolCall


class ScriptedChat(Node):
    """Serves tinychat/chat."""

    def __init__(self) -> None:
        super().__init__('tinychat')
        self.server = ActionServer(self, Chat, '~/chat', self.answer, callback_group=ReentrantCallbackGroup(),
                                   cancel_callback=lambda _: CancelResponse.ACCEPT)

    def answer(self, handle: Any) -> Chat.Result:
        messages = handle.request.messages
        last = max(i for i, message in enumerate(messages) if message.role == 'user')
        # In one piece, as in robot_process.py.
        seen = [[message.role, message.content, [call.name for call in message.tool_calls]] for message in messages]
        print(json.dumps({'tools': handle.request.tools, 'messages': seen}) + '\n', end='', flush=True)
        number = sum(message.role == 'assistant' for message in messages[last:])
        script = json.loads(messages[last].content)
        said = script[number] if number < len(script) else {'text': 'Done.'}
        if len(messages) > said.get('fits', len(messages)):
            said = {'status': 'abort', 'error_code': 2, 'error_msg': 'the prompt is too long'}
        while said.get('status') == 'silent':
            if handle.is_cancel_requested:
                handle.canceled()
                print('canceled\n', end='', flush=True)
                return Chat.Result(finish_reason='canceled')
            sleep(0.005)
        text = said.get('text', '')
        if text:
            handle.publish_feedback(Chat.Feedback(delta=text))
        calls = [ToolCall(id=said.get('id', f'call{number}_{i}'), name=name, arguments=arguments
                          if isinstance(arguments, str) else json.dumps(arguments))
                 for i, (name, arguments) in enumerate(said.get('calls', []))]
        status = said.get('status', 'succeed')
        {'succeed': handle.succeed, 'abort': handle.abort}[status]()
        return Chat.Result(text=text, tool_calls=calls, error_code=said.get('error_code', 0),
                           error_msg=said.get('error_msg', ''), finish_reason=said.get(
                               'finish_reason', 'aborted' if status == 'abort' else 'tool_calls' if calls else 'stop'))


def main() -> None:
    rclpy.init()
    node = ScriptedChat()
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(node)
    print('ready', flush=True)
    executor.spin()


if __name__ == '__main__':
    main()
