# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: OpenAI's API, Ollama's, and a web page. A door to `serving`: it translates and nothing else."""
