# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The typed configuration of the backends: which servers there are, and in which order they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
import math
import re
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.serving.results import LOCAL

POLICIES = ('prefer', 'hedge', 'offload')
MAX_BACKENDS = 16
_NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]{0,63}')  # also a part of a ROS parameter's name


@dataclass(frozen=True, kw_only=True)
class RemoteConfig:
    """
    An OpenAI-compatible server.

    `url`: its base, as for OpenAI's clients; without a path, /v1. `model`: the name of the model there. `max_goals`:
    how many requests it gets at the same time. `images`: its model accepts images. `connect_timeout`: to connect; also
    the time without an acknowledgment after which the network counts as down [s]. `first_token_timeout`: from the
    request to the first token [s]. `stall_timeout`: between two tokens [s]. `probe_period`: how often a server that has
    not answered is probed [s].

    Raises InvalidParameterError.
    """

    name: str
    url: str
    model: str
    api_key: str = field(default='', repr=False)
    max_goals: int = 4
    images: bool = False
    connect_timeout: float = 1.0
    first_token_timeout: float = 5.0
    stall_timeout: float = 5.0
    probe_period: float = 5.0

    def __post_init__(self) -> None:
        """Check every field."""
        if not _NAME.fullmatch(self.name) or self.name == LOCAL:
            _refuse('backends', f'a name must be a letter, and then letters, digits or _, not {shown(self.name)}')
        object.__setattr__(self, 'url', _base_url(self.url, f'{self.name}.url'))
        if not self.model.strip():
            _refuse(f'{self.name}.model', 'must be the name of a model that the server has')
        if not 1 <= self.max_goals <= 1000:
            _refuse(f'{self.name}.max_goals', f'must be 1 .. 1000, not {self.max_goals}')
        for name in ('connect_timeout', 'first_token_timeout', 'stall_timeout', 'probe_period'):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and 0.01 <= seconds <= 3600):
                _refuse(f'{self.name}.{name}', f'must be 0.01 .. 3600 s, not {seconds:g}')

    @property
    def sends_key_in_clear(self) -> bool:
        """Whether others on the network could read the API key."""
        return bool(self.api_key) and self.url.startswith('http://') and not _is_loopback(urlsplit(self.url).hostname)


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """
    The backends in their order, and the policy.

    `order`: names of `remotes`, and LOCAL; without LOCAL, this machine answers only `local_only` requests. `policy`:
    'prefer': the first backend that can answer. 'hedge': after `hedge_delay` seconds without a token the next one is
    asked as well, and the first token decides. 'offload': LOCAL, unless more than `offload_queue` requests wait there.
    `continue_locally`: if a stream breaks, this machine continues the answer; otherwise it ends there.

    Raises InvalidParameterError.
    """

    order: tuple[str, ...]
    remotes: Mapping[str, RemoteConfig]
    policy: str = 'prefer'
    hedge_delay: float = 0.5
    offload_queue: int = 0
    continue_locally: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        check_order(self.order)
        missing = [name for name in self.order if name != LOCAL and name not in self.remotes]
        if missing:
            _refuse('backends', f'{shown(missing[0])} is not configured')
        if self.policy not in POLICIES:
            _refuse('backend_policy', f"must be {', '.join(POLICIES)}, not {shown(self.policy)}")
        if self.policy == 'offload' and LOCAL not in self.order:
            _refuse('backend_policy', f'offload needs {LOCAL} among the backends')
        if not (math.isfinite(self.hedge_delay) and 0 <= self.hedge_delay <= 3600):
            _refuse('hedge_delay', f'must be 0 .. 3600 s, not {self.hedge_delay:g}')
        if self.offload_queue < 0:
            _refuse('offload_queue', f'must not be negative, not {self.offload_queue}')


def check_order(order: tuple[str, ...]) -> None:
    """Raise InvalidParameterError unless this is a list of different names of backends."""
    if not 1 <= len(order) <= MAX_BACKENDS:
        _refuse('backends', f'must be 1 .. {MAX_BACKENDS} names, not {len(order)}')
    for i, name in enumerate(order):
        if not _NAME.fullmatch(name):
            _refuse('backends', f'a name must be a letter, and then letters, digits or _, not {shown(name)}')
        if name in order[:i]:
            _refuse('backends', f'{shown(name)} is there twice')


def _base_url(url: str, place: str) -> str:
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        _refuse(place, f'{shown(url)} is no URL')
    # The URL is shown in logs and diagnostics, so it must not hold a password.
    has_more = bool(parts.query or parts.fragment or '@' in parts.netloc)
    is_printable = url.strip().isprintable() and ' ' not in url.strip()
    if parts.scheme not in ('http', 'https') or not parts.hostname or port == 0 or has_more or not is_printable:
        example = 'http://192.168.0.2:8000/v1'
        _refuse(place, f'must be like {example}, without a user, a query or a fragment, not '
                       f'{shown(url) if "@" not in url else "a URL with a user"}')
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip('/') or '/v1', '', ''))


def _is_loopback(host: str | None) -> bool:
    if host == 'localhost':
        return True
    try:
        return ip_address(host or '').is_loopback
    except ValueError:
        return False


def _refuse(place: str, reason: str) -> NoReturn:
    raise InvalidParameterError(f'{place}: {reason}')
