"""The exceptions that this program raises.

::

    CcvmError
     ├── ProtocolError            a peer violated the protocol (keeper, client, guest agent, screen process)
     └── UserError                reported to the user: what happened, and what to type next
          ├── ConfigError         a setting is unknown or has an invalid value
          ├── PrerequisiteError   a program or a kernel feature is missing
          ├── ImageError          the guest image is missing, damaged, or could not be built
          ├── AccelError          the requested accelerator does not run guests
          ├── BootError           the guest did not become ready
          ├── NoSuchGuest         no running guest has that name
          ├── NoSuchSession       no session in the guest has that name
          ├── OutputFailed        standard output or standard error cannot be written
          ├── TooLong             a program's arguments exceed the limit of Linux (E2BIG)
          ├── VersionMismatch     the keeper uses another version of the protocol
          └── KeeperLost          the connection to the keeper was lost during a request

The exit statuses are part of the command line's interface and documented in ``docs/commands.md``.
"""

from __future__ import annotations


class CcvmError(Exception):
    """The base class of all exceptions in this module."""


class ProtocolError(CcvmError):
    """A peer sent data that the protocol does not allow. The connection is closed; other connections are unaffected."""


class UserError(CcvmError):
    """An error that is reported to the user.

    ``message`` describes what happened and names the file or guest. ``hint`` is what to type next, or empty.
    ``exit_status`` is the status of a command that fails with this error.
    """

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(UserError):
    """A setting is unknown or has an invalid value."""

    exit_status = 2


class NoSuchGuest(UserError):
    """No running guest has that name."""

    exit_status = 3


class NoSuchSession(UserError):
    """No session in the guest has that name."""

    exit_status = 3


class PrerequisiteError(UserError):
    """A program or a kernel feature is missing."""

    exit_status = 4


class ImageError(UserError):
    """The guest image is missing, damaged, or could not be built."""

    exit_status = 4


class AccelError(UserError):
    """The requested accelerator does not run guests."""

    exit_status = 4


class BootError(UserError):
    """The guest did not become ready. ``console_tail`` holds the last lines of the guest's console."""

    exit_status = 5

    def __init__(self, message: str, hint: str = "", console_tail: str = "") -> None:
        super().__init__(message, hint)
        self.console_tail = console_tail


class OutputFailed(UserError):
    """Standard output or standard error cannot be written, for example because the disk is full."""

    @classmethod
    def of(cls, error: OSError, what: str = "standard output") -> OutputFailed:
        """Return the exception for ``error``, which a write to ``what`` raised."""
        return cls(f"{what} cannot be written: {error.strerror}")


class TooLong(UserError):
    """A program's arguments exceed the limit of Linux. The status is the shell's for a program that cannot be run."""

    exit_status = 126


class VersionMismatch(UserError):
    """The keeper uses another version of the protocol."""

    exit_status = 6


class KeeperLost(UserError):
    """The connection to the keeper was lost during a request."""

    exit_status = 6


def user_error(kind: str, message: str, hint: str = "") -> UserError:
    """Return an error of the class named ``kind``, or a UserError if there is no such class."""
    found = globals().get(kind)
    if isinstance(found, type) and issubclass(found, UserError):
        return found(message, hint)
    return UserError(message, hint)
