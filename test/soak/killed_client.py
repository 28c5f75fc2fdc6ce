# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A client to be killed: it sends a goal, prints its id and goes on listening: NAMESPACE MAX_NEW_TOKENS."""

from __future__ import annotations

import sys

import rclpy
from rclpy.action import ActionClient

from tinychat_ros.interfaces import Chat

namespace, max_new_tokens = sys.argv[1:]
rclpy.init()
node = rclpy.create_node('killed', namespace=namespace)
client: ActionClient = ActionClient(node, Chat, 'tinychat/chat')
client.wait_for_server(60)
sent = client.send_goal_async(Chat.Goal(prompt='Tell me a story.', max_new_tokens=int(max_new_tokens)))
rclpy.spin_until_future_complete(node, sent, timeout_sec=60)
handle = sent.result()
if handle is None:
    sys.exit('no answer')
print(bytes(handle.goal_id.uuid).hex() if handle.accepted else 'rejected', flush=True)
rclpy.spin(node)
