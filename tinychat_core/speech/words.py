# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A single word as it is spoken: the host of a URL, without emoticons and decorative signs."""

from __future__ import annotations

import re
import unicodedata

from tinychat_core.speech.sentences import FULL_STOPS

# The rest of a URL is ASCII: a Chinese full stop after it is not part of it.
_URL = re.compile(r'(?:(?:https?|ftp|wss?)://|www\.(?=[^.]))([!-~]+)', re.IGNORECASE)
_BARE_URL = re.compile(r'(?:[a-z0-9-]+\.)+(?:com|org|net|io|dev|ai|edu|gov|de|fr|es|cn|jp|eu|uk)(?::\d+)?(/[!-~]*)',
                       re.IGNORECASE)
_AROUND_URL = '.,;:!?)]}>"\'*_'
_EMOTICON = re.compile(r"[<>]?[:;][-'o^]?[)(\]\[dDpPoO3/\\|]+|=[)(D]+|<3+|\^[_.-]?\^")
_SHORTCODE = re.compile(r':[a-z][a-z0-9]*(?:_[a-z0-9]+)*:')
_DECORATION = re.compile(r'[-_*#~|+`.:/\\]{2,}|={3,}|<?[-=]+>|[*#~|_`\\^]')
_ELLIPSIS = re.compile(r'\.{2,}|:')
_SPACELESS = (('\u3000', '\u30ff'), ('\u3400', '\u4dbf'), ('\u4e00', '\u9fff'), ('\uf900', '\ufaff'),
              ('\uff00', '\uff65'), ('\U00020000', '\U0003ffff'))
# Joiners in emoji, direction marks, soft hyphens.
_INVISIBLE = frozenset('\u00ad\u200b\u200e\u200f\u2060\ufeff\ufe0e\ufe0f\u20e3'
                       '\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069')
_SPOKEN_SYMBOLS = frozenset('°©®™№℃℉ℓ')
_ARROWS = frozenset('→⇒➔➜➡⟶⟹')


def is_invisible(character: str) -> bool:
    """Return whether a character is invisible and does not separate words."""
    return character in _INVISIBLE or (character < ' ' and not character.isspace()) or character == '\x7f'


def is_emoji(character: str) -> bool:
    """Return whether a character is an emoji: a Unicode symbol that is not a letter, mark or mathematical sign."""
    if character < '\u2190':
        return False
    if '\U0001f3fb' <= character <= '\U0001f3ff' or '\U000e0020' <= character <= '\U000e007f':
        return True  # skin tones, flags
    return unicodedata.category(character) == 'So' and character not in _SPOKEN_SYMBOLS and not is_arrow(character)


def is_arrow(character: str) -> bool:
    """Return whether a character is an arrow."""
    return character in _ARROWS


def breaks(character: str) -> bool:
    """Return whether a character of a script without spaces (Chinese, Japanese) may begin and end a word."""
    return character in FULL_STOPS or any(first <= character <= last for first, last in _SPACELESS)


def is_url(word: str) -> bool:
    """Return whether an incomplete word contains a URL."""
    return bool(_URL.search(word))


def spoken(word: str) -> str:
    """Return a word as it is spoken; '' for one that is not."""
    if word.isalnum():
        return word
    if _EMOTICON.fullmatch(word) or _SHORTCODE.fullmatch(word):
        return ''
    if _DECORATION.fullmatch(word) and not _ELLIPSIS.fullmatch(word):
        return ''
    word = _URL.sub(_host, word)
    bare = _BARE_URL.search(word)
    if bare:
        rest = bare[1][len(bare[1].rstrip(_AROUND_URL)):]
        word = word[:bare.start(1)] + rest + word[bare.end():]
    if word.startswith('mailto:'):
        word = word[len('mailto:'):]
    return word[1:] if len(word) > 1 and word[0] == '#' and word[1].isalpha() else word


def _host(url: re.Match[str]) -> str:
    address = url[1].rstrip(_AROUND_URL)
    while url[1][len(address):].startswith(')') and address.count('(') > address.count(')'):
        address += ')'
    rest = url[1][len(address):]
    authority = re.split(r'[/?#]', address)[0].rpartition('@')[2]
    host = authority if authority.startswith('[') else authority.partition(':')[0]
    return host.removeprefix('www.') + rest
