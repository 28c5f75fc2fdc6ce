# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What runs in processes of its own, started by `tinychat_core.workers.worker`: it can be killed.

A model's chat template and a client's schema are programs. No check of their text tells how long they take, so each
runs where a limit on time and memory ends it and nothing else.
"""
