# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/, the text format 0.0.4)."""

from __future__ import annotations

from tinychat_core.resident_memory import resident_bytes
from tinychat_core.serving.chat_service import ChatService

MEDIA_TYPE = 'text/plain; version=0.0.4; charset=utf-8'


def metrics(service: ChatService) -> str:
    """Return the metrics of a service; they count the requests of every door."""
    of, engine = service.metrics, service.engine
    rows = (
        ('requests_running', 'gauge', 'Requests that are being answered.', len(service.running)),
        ('requests_waiting', 'gauge', 'Requests that wait.', service.waiting),
        ('answers_total', 'counter', 'Requests that were answered.', of.answers),
        ('failures_total', 'counter', 'Requests that failed through the backend or for want of memory.', of.failed),
        ('tokens_per_second', 'gauge', 'Rate of decoding of the last answer.', of.tokens_per_second),
        ('time_to_first_token_seconds', 'gauge', 'From the start of the last answer to its first token.',
         of.time_to_first_token),
        ('context_tokens', 'gauge', 'Longest prompt and answer together.', engine.context_length),
        ('weights_bytes', 'gauge', "Size of the model's weights.", engine.weights_bytes),
        ('kv_cache_bytes', 'gauge', 'Size of one KV cache.', engine.kv_cache_bytes),
        ('resident_bytes', 'gauge', 'Memory of the process.', resident_bytes()),
    )
    return ''.join(f'# HELP tinychat_{name} {told}\n# TYPE tinychat_{name} {kind}\ntinychat_{name} {value}\n'
                   for name, kind, told, value in rows)
