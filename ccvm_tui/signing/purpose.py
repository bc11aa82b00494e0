"""The purpose of a signature, as far as the data that are to be signed show it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass

from ccvm_tui.signing.wire import Fields, Malformed
from ccvm_tui.text import plain, size_text

TEXT_MAX = 60
"""Characters of a name in the data that are shown."""

_SSHSIG = b"SSHSIG"
_USERAUTH_REQUEST = 50
_SESSION_ID_MAX = 64
_HOST_BOUND = b"publickey-hostbound-v00@openssh.com"


@dataclass(frozen=True)
class Purpose:
    """A purpose in words for people, such as ``sign a Git commit, tag or push``.

    ``exact`` are the fields of the data that distinguish this purpose from others; the text may have them shortened.
    It is empty if the data have no known form. Then a signature can mean anything.
    """

    text: str
    exact: tuple[bytes, ...] = ()

    @property
    def known(self) -> bool:
        """True if the data have a known form."""
        return bool(self.exact)


def fingerprint(key: bytes) -> str:
    """Return the fingerprint of a public key, as ``ssh-keygen -l`` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def purpose(data: bytes, key: bytes) -> Purpose:
    """Return the purpose of a signature of ``data`` with the public key ``key``."""
    for parse in (_signature, _login):
        with contextlib.suppress(Malformed):
            return parse(data, key)
    return Purpose(f"sign {size_text(len(data))} of an unknown kind")


def _signature(data: bytes, _: bytes) -> Purpose:
    """Parse the data of a signature of ``ssh-keygen -Y sign`` (PROTOCOL.sshsig of OpenSSH)."""
    fields = Fields(data)
    if fields.raw(len(_SSHSIG)) != _SSHSIG:
        raise Malformed("not a signature of ssh-keygen")
    namespace = fields.string()
    fields.string()  # reserved
    fields.string()  # the hash algorithm
    fields.string()  # the hash
    fields.end()
    if not namespace:
        raise Malformed("a signature without a namespace")
    git, other = "sign a Git commit, tag or push", f"sign a file or a message (namespace “{_name(namespace)}”)"
    return Purpose(git if namespace == b"git" else other, (_SSHSIG, namespace))


def _login(data: bytes, key: bytes) -> Purpose:
    """Parse the data of a login (RFC 4252, section 7; PROTOCOL of OpenSSH, section 3.1)."""
    fields = Fields(data)
    session_id = fields.string()
    if not 0 < len(session_id) <= _SESSION_ID_MAX or fields.byte() != _USERAUTH_REQUEST:
        raise Malformed("not a login")
    user, service, method = fields.string(), fields.string(), fields.string()
    if service != b"ssh-connection" or method not in (b"publickey", _HOST_BOUND) or fields.byte() != 1:
        raise Malformed("not a login with a public key")
    fields.string()  # the algorithm
    if fields.string() != key:
        raise Malformed("a login with another key")
    host_key = fields.string() if method == _HOST_BOUND else b""
    fields.end()
    host = f"the host with the key {fingerprint(host_key)}" if host_key else "a host, which is not named"
    return Purpose(f"log in as “{_name(user)}” to {host}", (method, user, host_key))


def _name(name: bytes) -> str:
    return plain(name.decode(errors="replace"), TEXT_MAX)
