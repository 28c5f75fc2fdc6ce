# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Images: from files and cameras to pixels, and from pixels to the embeddings that stand in a prompt."""
