"""Flood what the host reads, for some seconds. Arguments: the name of the flood, and the seconds."""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator

DEADLINE = time.monotonic() + float(sys.argv[2])
PIDFD_GETFD = 438


def until_deadline() -> Iterator[int]:
    """Yield numbers until the time is over."""
    number = 0
    while time.monotonic() < DEADLINE:
        yield number
        number += 1


def stolen(port: str) -> int:
    """Return a copy of the descriptor that some process of the guest has of a virtio-serial port."""
    for name in os.listdir("/sys/class/virtio-ports"):
        with open(f"/sys/class/virtio-ports/{name}/name") as file:
            if file.read().strip() == port:
                device = f"/dev/{name}"
    libc = ctypes.CDLL(None, use_errno=True)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == device:
                    return int(libc.syscall(PIDFD_GETFD, os.pidfd_open(int(pid)), int(fd), 0))
        except OSError:
            continue
    raise SystemExit(f"no process has {port}")


def write(fd: int, data: bytes) -> None:
    """Write everything, to a descriptor that may not block."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select([], [fd], [])


def frame(message: object) -> bytes:
    body = json.dumps(message).encode()
    return len(body).to_bytes(4, "big") + body


def control() -> None:
    """Send events of every kind, and unrequested replies, with text that must not reach a terminal."""
    port = stolen("ccvm.control")
    text = "\x1b]52;c;aGk=\x07\u202e\ud800" * 40
    for number in until_deadline():
        messages: list[dict[str, object]] = [
            {"type": "event", "kind": kind, "session": "s1", "state": "waiting", "text": text, "address": text}
            for kind in ("oom", "attention", "link", "guard", "boot", "\x1b[2J", "ssh_free")
        ]
        messages += [{"type": "reply", "id": number, "ok": True}, {"type": "hello", "version": 1}, {"type": text}]
        write(port, b"".join(frame(message) for message in messages))
    print(number)


def hooks() -> None:
    """Write reports of hooks, with and without ends of lines."""
    pipe = os.open("/run/ccvm/notify", os.O_WRONLY)
    lines = b"waiting s1 \x1b]0;evil\x07\nworking s1 x\ndone - \xff\xfe\nopen s1 https://evil.example/%d\n"
    for number in until_deadline():
        write(pipe, (lines % number) * 8)
        write(pipe, b"z" * 4000)
    write(pipe, b"\n")
    print(number)


def proxy() -> None:
    """Open connections to the proxy and leave them, and connections that are reset at once."""
    kept = []
    for number in until_deadline():
        s = socket.socket()
        s.settimeout(5)
        try:
            s.connect(("127.0.0.1", 3128))
            if number % 2:
                s.sendall(b"CONNECT 203.0.113.%d:443 HTTP/1.1\r\n\r\n" % (number % 250))
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                s.close()
            else:
                s.sendall(b"GET http://")
                kept.append(s)
        except OSError:
            s.close()
        if len(kept) > 700:
            kept.pop(0).close()
    print(number)


def names() -> None:
    """Ask for names, as a tunnel in queries does."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setblocking(False)
    for number in until_deadline():
        label = b"%032d" % number
        question = bytes([len(label)]) + label + b"\6tunnel\7invalid\0\0\1\0\1"
        try:
            s.sendto(number.to_bytes(4, "big")[2:] + b"\1\0\0\1\0\0\0\0\0\0" + question, ("198.18.0.1", 53))
        except OSError:
            select.select([], [s], [], 1)
    print(number)


def clipboard() -> None:
    """Connect to the bridge of the clipboard, with requests, with half of one, and without."""
    kept = []
    for number in until_deadline():
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(2)
        try:
            s.connect("/run/ccvm/bridge/clipboard.sock")
            s.sendall((b"s1 types\n", b"s1 image image/png\n", b"x" * 100, b"")[number % 4])
            kept.append(s)
        except OSError:
            s.close()
            time.sleep(0.01)
        if len(kept) > 200:
            kept.pop(0).close()
    print(number)


def console() -> None:
    """Print to the console and to the kernel's log."""
    with open("/dev/ttyS0", "wb", buffering=0) as tty, open("/dev/kmsg", "wb", buffering=0) as log:
        for _ in until_deadline():
            tty.write(b"\x1b[2J\x1b]0;evil\x07" * 100 + b"\r")
            log.write(b"<0>ccvm: setting up \x1b[31mevil")


def guard() -> None:
    """Plant hooks and configurations."""
    os.makedirs(".git/hooks", exist_ok=True)
    for number in until_deadline():
        try:
            with open(f".git/hooks/post-checkout-{number}", "w") as file:
                file.write("#!/bin/sh\n" * 1000)
        except OSError:
            pass
    print(number)


def terminal() -> None:
    """Print sequences for the emulator to every terminal of a session."""
    data = b"\x1b]0;" + b"t" * 5000 + b"\x07\x1b[9999;9999H\x1b[9999b\x1b]8;;http://x\x07" + os.urandom(4000)
    terminals = [os.open(f"/dev/pts/{name}", os.O_WRONLY) for name in os.listdir("/dev/pts") if name.isdigit()]
    threads = [threading.Thread(target=_print, args=(fd, data), daemon=True) for fd in terminals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, DEADLINE - time.monotonic()) + 5)
    for fd in terminals:
        os.write(fd, b"\x1bc")
    print(len(terminals))


def _print(fd: int, data: bytes) -> None:
    for _ in until_deadline():
        write(fd, data)


def locks() -> None:
    """Take locks on ranges of a file, and open it often."""
    import fcntl

    files = []
    for number in until_deadline():
        try:
            files.append(os.open("locked", os.O_RDWR | os.O_CREAT))
            fcntl.lockf(files[-1], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number * 2)
        except OSError:
            for file in files:
                os.close(file)
            files = []
    os.unlink("locked")
    print(number)


if __name__ == "__main__":
    {
        function.__name__: function
        for function in (control, hooks, proxy, names, clipboard, console, guard, terminal, locks)
    }[sys.argv[1]]()
