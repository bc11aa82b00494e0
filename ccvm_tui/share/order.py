"""The argument of the file server's process, and the requests on its control connection."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

COUNT, LIST, ACCEPT, REVIVE, TRUST = b"e", b"l", b"a", b"r", b"t"
"""Requests: the number of edits and the first paths, and all edits; with paths as a body, those to which edits were
applied, and those at which they are about to be undone; with a path and problems, what the guard accepts from now on.
"""


@dataclass(frozen=True, slots=True)
class Order:
    """The directory ``path`` to serve, and the connections to use.

    ``parent`` is the pid of the process that starts the server. ``device`` and ``helper`` are the descriptors of the
    vhost-user connection to QEMU and of the helper's port. ``confined`` enables Landlock, ``seccomp`` the filter of
    system calls. ``edits`` is an empty, private directory for the guest's edits of a read-only project, of at most
    ``capacity`` bytes. If ``edits`` is empty, the guest can change ``path``. ``guard`` is the setting of that name, and
    ``reports`` the descriptor of the connection for its reports.
    """

    parent: int
    path: str
    device: int
    helper: int
    confined: bool = True
    seccomp: bool = True
    edits: str = ""
    capacity: int = 0
    guard: str = "off"
    reports: int = -1

    def encode(self) -> str:
        """Encode the order as JSON in ASCII. Bytes of the path that are not UTF-8 are surrogate-escaped (PEP 383)."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Order:
        """Decode the result of ``encode``."""
        return cls(**json.loads(text))
