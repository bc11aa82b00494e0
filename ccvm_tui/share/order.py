"""The one argument of the file server's process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """The directory to serve, and the connections to serve it on.

    ``parent`` is the pid of the process that starts the server; ``device`` and ``helper`` are descriptors: the
    vhost-user connection to QEMU and that of the helper's port. ``edits`` is an empty private directory for what the
    guest changes in a read-only share, of at most ``room`` bytes; without it the guest changes ``path`` itself.
    """

    parent: int
    path: str
    device: int
    helper: int
    confined: bool = True
    edits: str = ""
    room: int = 0

    def encoded(self) -> str:
        """JSON in ASCII: bytes of a path that are not UTF-8 travel as lone surrogates (os.fsencode)."""
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, text: str) -> Order:
        return cls(**json.loads(text))
