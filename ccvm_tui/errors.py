"""Everything this program raises on purpose.

::

    CcvmError
     ├── ProtocolError            a peer spoke nonsense (keeper, client, guest agent, screen process)
     └── UserError                for people: what happened, and what to type next
          ├── ConfigError         a setting is unknown or has a bad value
          ├── PrerequisiteError   a program or a kernel feature is missing
          ├── ImageError          the guest image is missing, damaged, or could not be built
          ├── AccelError          the accelerator asked for does not run guests
          ├── BootError           the guest did not become ready
          ├── NoSuchGuest         no running guest of that name
          ├── NoSuchSession       no session of that name in the guest
          ├── OutputFailed        our own standard output cannot be written: a full disk
          ├── TooLong             a program's arguments are longer than Linux takes (E2BIG)
          ├── VersionMismatch     the keeper speaks another version of the protocol
          └── KeeperLost          the keeper went away in the middle of a request

Exit statuses are part of the command line's contract and documented in ``docs/commands.md``.
"""

from __future__ import annotations


class CcvmError(Exception):
    """Root of the tree."""


class ProtocolError(CcvmError):
    """A peer sent what the protocol does not allow; the connection is closed, nothing else suffers."""


class UserError(CcvmError):
    """An error for people.

    ``message`` says what happened, in which file or guest; ``hint`` the next command to type, or is empty.
    """

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(UserError):
    exit_status = 2


class NoSuchGuest(UserError):
    exit_status = 3


class NoSuchSession(UserError):
    exit_status = 3


class PrerequisiteError(UserError):
    exit_status = 4


class ImageError(UserError):
    exit_status = 4


class AccelError(UserError):
    exit_status = 4


class BootError(UserError):
    """``console_tail`` holds the last lines that the guest's console printed, ready to be shown."""

    exit_status = 5

    def __init__(self, message: str, hint: str = "", console_tail: str = "") -> None:
        super().__init__(message, hint)
        self.console_tail = console_tail


class OutputFailed(UserError):
    """``of`` makes one of what the system said."""

    @classmethod
    def of(cls, error: OSError, what: str = "standard output") -> OutputFailed:
        return cls(f"{what} cannot be written: {error.strerror}")


class TooLong(UserError):
    """As shells have it, for a program that was found but cannot be run."""

    exit_status = 126


class VersionMismatch(UserError):
    exit_status = 6


class KeeperLost(UserError):
    exit_status = 6
