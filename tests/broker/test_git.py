"""``git push`` and ``git fetch`` in a guest with a login of the user's credential helper, over a real Git server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ccvm_tui.broker.broker import Broker
from ccvm_tui.broker.git import GitPlace, repository_of
from ccvm_tui.egress.connect import Intercept
from ccvm_tui.outbound import Egress, Logins
from tests.broker.apis import Api, Server
from tests.egress.gates import Way, way_out
from tests.egress.hosts_of_tests import Names, certificate

TOKEN = "ghp_" + "g" * 36
ENVIRONMENT = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
    **{f"GIT_{who}_{what}": "me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    """A Git server (git-http-backend(1)) that asks for a login."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        header = self.headers.get("Authorization", "")
        self.server.seen.append((self.path, header))  # type: ignore[attr-defined]
        login = base64.b64decode(header.removeprefix("Basic ")).decode()
        if login != f"me:{self.server.token}":  # type: ignore[attr-defined]
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.server.root, "GIT_HTTP_EXPORT_ALL": "1",  # type: ignore[attr-defined]
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_USER": "me",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": "/nonexistent",
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with the repositories ``me/app.git`` and ``me/other.git``."""
    running = Server(("127.0.0.1", 0), Handler)
    running.seen, running.root, running.token = [], str(tmp_path / "remote"), TOKEN  # type: ignore[attr-defined]
    for name in ("app", "other"):
        path = tmp_path / f"remote/me/{name}.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True, env=ENVIRONMENT)
        subprocess.run(["git", "-C", path, "config", "http.receivepack", "true"], check=True, env=ENVIRONMENT)
    running.socket = certificate(tmp_path, "localhost").wrap_socket(running.socket, server_side=True)
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def helper(tmp_path: Path, token: str = TOKEN) -> Path:
    """Write the user's global configuration, with a credential helper that counts its uses."""
    config = tmp_path / "gitconfig"
    command = f"!f() {{ echo x >>{tmp_path}/uses; echo username=me; echo password={token}; }}; f"
    config.write_text(f'[credential]\n\thelper = "{command}"\n[alias]\n\tcredential = !touch {tmp_path}/alias\n')
    return config


class Guest:
    def __init__(self, way: Way, broker: Broker, port: int, directory: Path) -> None:
        self.way, self.port, self.directory = way, port, directory
        (directory / "ca.pem").write_bytes(broker.authority.pem)

    async def git(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run Git in the guest, which trusts its authority and knows no login."""
        host, port = self.way.proxy
        environment = {
            **ENVIRONMENT, "GIT_SSL_CAINFO": str(self.directory / "ca.pem"), "https_proxy": f"http://{host}:{port}",
        }  # fmt: skip
        run = subprocess.run
        argv = ("git", "-c", "credential.helper=", *argv)
        return await asyncio.to_thread(
            lambda: run(argv, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=60)
        )


@contextlib.asynccontextmanager
async def guest_for(
    tmp_path: Path, server: Server, *listed: str, writable: tuple[str, ...] = ()
) -> AsyncIterator[Guest]:
    port = server.server_port
    (tmp_path / "guest").mkdir(exist_ok=True)
    intercepts: dict[tuple[str, int], Intercept] = {}
    spec = Logins("broker", git=listed, git_config=(str(tmp_path / "gitconfig"),), home=str(tmp_path))
    api = Api()
    api.ca = tmp_path / "cert.pem"
    broker = Broker(spec, "claude", intercepts, context=api.context(), writable=lambda: list(writable))
    egress = Egress("allowlist", ("127.0.0.0/8", f"localhost:{port}"), (), (443,))
    async with way_out(tmp_path, egress, intercepts=intercepts, resolver=Names(localhost=("127.0.0.1",))) as way:
        yield Guest(way, broker, port, tmp_path / "guest")


async def test_a_guest_pushes_and_fetches_with_the_users_login_and_does_not_learn_it(
    tmp_path: Path, server: Server
) -> None:
    helper(tmp_path)
    port = server.server_port
    async with guest_for(tmp_path, server, f"localhost:{port}/me/app") as guest:
        url = f"https://localhost:{port}/me/app.git"
        cloned = await guest.git("clone", "-q", url, "app")
        assert cloned.returncode == 0, cloned.stderr
        work = ("-C", "app")
        (tmp_path / "guest/app/big").write_bytes(os.urandom(3_000_000))
        assert (await guest.git(*work, "checkout", "-q", "-B", "main")).returncode == 0
        assert (await guest.git(*work, "add", ".")).returncode == 0
        assert (await guest.git(*work, "commit", "-qm", "one")).returncode == 0
        pushed = await guest.git(*work, "push", "-q", "origin", "main")
        assert pushed.returncode == 0, pushed.stderr
        assert (await guest.git("clone", "-q", url, "again")).returncode == 0
        assert (tmp_path / "guest/again/big").stat().st_size == 3_000_000
        # another repository of the same host gets no login
        refused = await guest.git("ls-remote", f"https://localhost:{port}/me/other.git")
        assert refused.returncode != 0
        assert TOKEN not in "".join(map(str, (cloned, pushed, refused)))
    seen = server.seen  # type: ignore[attr-defined]
    assert [header for path, header in seen if "other" in path] == [""]
    assert not [path for path, header in seen if "app" in path and not header]
    assert (tmp_path / "uses").read_text() == "x\n"  # kept in memory
    assert not (tmp_path / "alias").exists()


async def test_a_rejected_login_is_asked_for_again(tmp_path: Path, server: Server) -> None:
    helper(tmp_path)
    port = server.server_port
    async with guest_for(tmp_path, server, f"localhost:{port}") as guest:
        remote = f"https://localhost:{port}/me/other"
        assert (await guest.git("ls-remote", f"{remote}.git")).returncode == 0
        server.token = TOKEN[::-1]  # type: ignore[attr-defined]
        helper(tmp_path, TOKEN[::-1])
        assert (await guest.git("ls-remote", f"{remote}.git")).returncode == 0


@pytest.mark.attack
async def test_no_program_that_a_guest_could_name_is_run(tmp_path: Path, server: Server) -> None:
    """The user's configuration, or a part of it, is in a project."""
    project, mark = tmp_path / "project", tmp_path / "mark"
    project.mkdir()
    (project / "more").write_text(f'[credential]\n\thelper = "!touch {mark}"\n')
    (tmp_path / "gitconfig").write_text(
        f'[include]\n\tpath = {project}/more\n[credential]\n\thelper = "!{project}/program"\n[core]\n\taskPass = touch {mark}\n'
    )
    (project / "program").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (project / "program").chmod(0o755)
    port = server.server_port
    async with guest_for(tmp_path, server, f"localhost:{port}", writable=(str(project),)) as guest:
        assert (await guest.git("ls-remote", f"https://localhost:{port}/me/app.git")).returncode != 0
    assert server.seen[0][1] == ""  # type: ignore[attr-defined]
    assert not mark.exists()


@pytest.mark.parametrize(
    ("target", "repository"),
    [
        ("/me/app.git/info/refs?service=git-upload-pack", "/me/app.git"),
        ("/me/app/git-receive-pack", "/me/app"),
        ("/me/app.git/info/refs", None),
        ("/me/app.git/info/refs?service=git-upload-pack&x=1", None),
        ("/me/app.git/info/lfs/objects/batch", None),
        ("/api/v3/user", None),
        ("/git-upload-pack", None),
    ],
)
def test_only_requests_of_gits_protocol_get_a_login(target: str, repository: str | None) -> None:
    assert repository_of(target) == repository


def test_an_entry_covers_a_host_or_repositories() -> None:
    assert GitPlace.parse("github.com").covers("github.com", 443, "/me/app.git")
    assert GitPlace.parse("github.com/me").covers("github.com", 443, "/me/app.git")
    assert GitPlace.parse("github.com/me/app.git").covers("github.com", 443, "/me/app")
    assert not GitPlace.parse("github.com/me/app").covers("github.com", 443, "/me/app2.git")
    assert not GitPlace.parse("github.com/me/app").covers("gitlab.com", 443, "/me/app")
    assert not GitPlace.parse("github.com:8443").covers("github.com", 443, "/me/app")
