# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Text to tokens and back: tokenizer, chat template, stop texts."""
