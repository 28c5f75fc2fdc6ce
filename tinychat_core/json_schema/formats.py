# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What JSON Schema's `format` means for a constraint: exactly what those accept who read the answer."""
from __future__ import annotations

from typing import Any

# Proleptic Gregorian, 0001 .. 9999, as Python's datetime: llguidance's own has 29 February in every year.
_YEAR = '(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)'
_LEAP_YEAR = ('(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|'
              '(?:0[48]|[2468][048]|[13579][26])00)')
_DATE = (f'(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|'
         '(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|'
         f'{_LEAP_YEAR}-02-29)')
# RFC 3339, without the leap second, which nearly nobody reads.
_TIME = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])'
# RFC 3339, appendix A, with numbers that a timedelta can hold.
_N = '[0-9]{1,4}'
_DURATION_TIME = f'T(?:{_N}H(?:{_N}M(?:{_N}S)?)?|{_N}M(?:{_N}S)?|{_N}S)'
_DURATION = (f'P(?:{_N}W|{_DURATION_TIME}|'
             f'(?:{_N}Y(?:{_N}M(?:{_N}D)?)?|{_N}M(?:{_N}D)?|{_N}D)(?:{_DURATION_TIME})?)')
_LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?'
_EMAIL = ('[A-Za-z0-9_+-]{1,32}(?:[.][A-Za-z0-9_+-]{1,16}){0,2}@'
          f'(?:{_LABEL}[.]){{1,3}}[A-Za-z]{{2,12}}')
_HEX = '[0-9a-fA-F]'

_PATTERNS = {
    'date': _DATE,
    'time': _TIME,
    'date-time': f'{_DATE}T{_TIME}',
    'duration': _DURATION,
    'email': _EMAIL,
    'idn-email': _EMAIL,
    'uuid': f'{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}',
    **{f'uuid{n}': f'{_HEX}{{8}}-{_HEX}{{4}}-{n}{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}' for n in range(1, 9)},
    'base64': '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?',
    'base64url': '(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-][AQgw]==|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]=)?',
}
# As llguidance has them; those on the right are a part of those on the left.
_SAME = {
    'ipv4': 'ipv4', 'ipv4network': 'ipv4', 'ipv4interface': 'ipv4',
    'ipv6': 'ipv6', 'ipv6network': 'ipv6', 'ipv6interface': 'ipv6',
    'hostname': 'hostname', 'idn-hostname': 'hostname',
    'uri': 'uri', 'iri': 'uri', 'uri-reference': 'uri', 'iri-reference': 'uri',
}
_EITHER = {'ipvanyaddress': ('ipv4', 'ipv6'), 'ipvanynetwork': ('ipv4', 'ipv6'), 'ipvanyinterface': ('ipv4', 'ipv6')}
# What any text is.
_ANY = {'path', 'file-path', 'directory-path', 'new-path', 'password', 'binary'}
# OpenAPI's formats of numbers; of 64 bits as much as every reader of JSON has.
NUMBERS: dict[str, dict[str, Any]] = {
    'int32': {'minimum': -2**31, 'maximum': 2**31 - 1},
    'int64': {'minimum': -2**53, 'maximum': 2**53},
    'float': {},
    'double': {},
}


def format_schema(name: str) -> dict[str, Any] | None:
    """Return a schema without keywords that llguidance ignores, for what `format: name` means; None: not known."""
    if name in _PATTERNS:
        return {'pattern': f'^(?:{_PATTERNS[name]})$'}
    if name in _SAME:
        return {'format': _SAME[name]}
    if name in _EITHER:
        return {'anyOf': [{'type': 'string', 'format': choice} for choice in _EITHER[name]]}
    return {} if name in _ANY else NUMBERS.get(name)
