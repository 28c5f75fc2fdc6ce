# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The worker that checks JSON from other machines against a schema, with jsonschema.

A pattern in a schema can take hours, so the check has a process that can be killed. Request: `schema`, `text` (JSON
both) → `error`, '' if the text matches.
"""
from __future__ import annotations

import json
from typing import Any

from tinychat_core.workers.serving import Ask, Reply, serve


def _answer(request: dict[str, Any], ask: Ask) -> Reply:
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for

    schema = json.loads(request['schema'])
    try:
        value = json.loads(request['text'])
    except (ValueError, RecursionError) as error:
        return {'error': f'it is no JSON: {error}'}, b''
    found = best_match(validator_for(schema)(schema).iter_errors(value))
    return {'error': '' if found is None else found.message}, b''


def main() -> None:
    """Serve, with jsonschema loaded before a clock runs."""
    import jsonschema.validators  # noqa: F401

    serve(_answer)
