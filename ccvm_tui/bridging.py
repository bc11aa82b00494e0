"""The messages of the protocol about what connects a guest with the host: ports, links, clipboard, SSH agent.

They are part of ``ccvm_tui.protocol``.
"""

from __future__ import annotations

from ccvm_tui.guest import Forward
from ccvm_tui.packing import Message

# --- requests ---------------------------------------------------------------------------------------------


class GetPorts(Message, frozen=True):
    """Return the ports on which programs of the guest listen, and the forwarded ones, as Ports."""


class AddForward(Message, frozen=True):
    """Forward the port ``host`` of the host, 0 for a free one, to the port ``guest``, and return it as Forwarded."""

    guest: int
    host: int = 0


class RemoveForward(Message, frozen=True):
    """End the forwarding of the port ``host`` of the host."""

    host: int


class AnswerLink(Message, frozen=True):
    """Accept or reject the offer of a link. If the user opens a login's page, its callback port is forwarded."""

    link: int
    opened: bool


class AnswerSignature(Message, frozen=True):
    """Answer a question in ``GuestInfo.signatures``.

    With ``allow`` and not ``once``, later signatures for the same purpose are allowed until the session ends.
    """

    question: int
    allow: bool
    once: bool


class PrepareSsh(Message, frozen=True):
    """Prepare the guest for SSH clients of the host, and return the files for them as SshFiles."""


# --- on the connections of terminals and views -----------------------------------------------------------------


class ClipboardWanted(Message, frozen=True):
    """A program in the guest wants the image in the clipboard of the client's desktop.

    ``kind`` is the type of the image. If it is empty, the program wants a list of types. The client answers with
    ClipboardImage of the same id.
    """

    id: int
    kind: str = ""


class ClipboardImage(Message, frozen=True):
    """The types of the image in the clipboard, or its data. Both are empty if there is none."""

    id: int
    types: tuple[str, ...] = ()
    data: bytes = b""


class Notice(Message, frozen=True):
    """A text that a terminal shows as a notification."""

    text: str


# --- results ----------------------------------------------------------------------------------------------


class Ports(Message, frozen=True):
    """The ports on which programs of the guest listen, and the forwarded ports."""

    listening: tuple[int, ...]
    forwards: tuple[Forward, ...]


class Forwarded(Message, frozen=True):
    """The port that is forwarded."""

    forward: Forward


class SshFiles(Message, frozen=True):
    """The directory with the files ``config``, ``key`` and ``known_hosts`` for SSH clients."""

    directory: str


# --- the parts of the unions in ``protocol`` ----------------------------------------------------------------

Request = GetPorts | AddForward | RemoveForward | AnswerLink | AnswerSignature | PrepareSsh
Result = Ports | Forwarded | SshFiles
FromClient = ClipboardImage
ToClient = ClipboardWanted | Notice
