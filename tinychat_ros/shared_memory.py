# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Who else is in this domain on this machine, and cannot be reached. Knows nothing of ROS.

Fast DDS sends messages between processes of one machine through files in /dev/shm, which only their owner may write.
Two users discover each other over UDP, and then each message between them is lost without an error.
"""

from __future__ import annotations

import os
from pathlib import Path
import pwd
import re

# A participant's port, and the lock that its process holds while it lives; `fastrtps` until Humble.
LOCK = re.compile(r'fast(?:dds|rtps)_port(\d+)_el')
PORTS = 250  # of each domain, from 7400 on (DDSI-RTPS 9.6.1.1)


def other_users(domain: int, root: Path = Path('/')) -> list[str]:
    """
    Return the names of the users whose processes use Fast DDS's shared memory in this domain.

    Without this process's own user; nobody where this process does not use shared memory itself.
    """
    try:
        locks = (root / 'proc/locks').read_text()
        files = list(os.scandir(root / 'dev/shm'))
    except OSError:  # no Linux
        return []
    # A process that was killed leaves its file, without the lock.
    holders = {int(inode): int(pid) for pid, inode in re.findall(r' (\d+) [\da-f]+:[\da-f]+:(\d+) ', locks)}
    uids: set[int] = set()
    is_ours = False
    for file in files:
        match = LOCK.fullmatch(file.name)
        if match is None or (int(match[1]) - 7400) // PORTS != domain:
            continue
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        if status.st_ino in holders:
            is_ours |= holders[status.st_ino] == os.getpid()
            uids.add(status.st_uid)
    return sorted(map(_name, uids - {os.geteuid()})) if is_ours else []


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # of a container
        return f'user {uid}'
