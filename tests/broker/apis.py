"""A server on this machine that speaks the streaming API and the OAuth endpoints of a service, over TLS."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ccvm_tui.agents import logins
from ccvm_tui.agents.logins import Key, Login, Place, Subscription
from tests.egress.hosts_of_tests import certificate

KEY = "sk-ant-api03-" + "k" * 40


class Api:
    """The state of the server, and what it has received."""

    def __init__(self) -> None:
        self.port = 0
        self.ca = Path()
        self.valid: set[str] = set()
        self.refreshable: set[str] = set()
        self.keys = {KEY}
        self.lifetime = 3600
        self.refreshes: list[str] = []
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.hold = threading.Event()
        """While this is not set, responses of the token endpoint, and the second event of a stream, are held."""
        self.hold.set()
        self.rotates_while_held = False
        self.compress = False
        self.token_response: bytes | None = None
        self.lock = threading.Lock()

    def issue(self) -> dict[str, Any]:
        """Return the response with new tokens."""
        access, refresh = f"sk-ant-oat01-{secrets.token_hex(24)}", f"sk-ant-ort01-{secrets.token_hex(24)}"
        self.valid = {access}
        self.refreshable.add(refresh)
        return {
            "token_type": "Bearer", "access_token": access, "refresh_token": refresh, "expires_in": self.lifetime,
            "scope": "user:inference user:profile", "account": {"uuid": "u-1", "email_address": "me@example.org"},
            "organization": {"uuid": "o-1", "name": "Me"},
        }  # fmt: skip

    @property
    def login(self) -> Login:
        """The table's entry for this server."""
        places = (Place("localhost", ("/v1/messages", "/api/oauth/usage"), self.port),)
        key = Key("ANTHROPIC_API_KEY", "sk-ant-api03-", ("x-api-key", logins.BEARER), places)
        return Login(
            keys=(key,),
            base="ANTHROPIC_BASE_URL",
            subscription=Subscription(
                file=".credentials.json", member="claudeAiOauth", facts=("scopes", "subscriptionType", "rateLimitTier"),
                access_form="sk-ant-oat01-", refresh_form="sk-ant-ort01-", places=places,
                endpoints=(Place("localhost", ("/v1/oauth/token",), self.port),), client="client-1",
                minting=Place("localhost", ("/api/oauth/claude_cli/create_api_key",), self.port), minted=key,
                minted_member="raw_key", locks=(".oauth_refresh.lock", "../{name}.lock"),
            ),
        )  # fmt: skip

    def context(self) -> ssl.SSLContext:
        """The context of clients that trust this server."""
        return ssl.create_default_context(cafile=str(self.ca))

    def requests_to(self, path: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for asked, headers, body in self.received if asked.split("?")[0] == path]


ANSWER = "the answer of the model"


def events() -> Iterator[bytes]:
    """The events of a message, in the form of Anthropic's API."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    for kind, content in (
        ("message_start", {"message": message}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": ANSWER}}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}),
        ("message_stop", {}),
    ):
        yield f"event: {kind}\ndata: {json.dumps({'type': kind, **content})}\n\n".encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def api(self) -> Api:
        return self.server.api  # type: ignore[attr-defined, no-any-return]

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.api.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        path = self.path.split("?")[0]
        if path == "/v1/oauth/token":
            self.tokens(body)
        elif not self.authorized():
            self.reply(401, b'{"type":"error","error":{"type":"authentication_error","message":"invalid token"}}')
        elif path == "/api/oauth/claude_cli/create_api_key":
            self.reply(200, json.dumps({"raw_key": KEY}).encode())
        elif b'"stream"' in body:
            self.stream(body)
        else:
            echo = {"you_sent": self.headers.get("Authorization") or self.headers.get("x-api-key")}
            self.reply(200, json.dumps({**echo, "length": len(body)}).encode(), {"X-Echo": str(echo["you_sent"])})

    do_GET = do_POST

    def authorized(self) -> bool:
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return bearer in self.api.valid or bearer in self.api.keys or self.headers.get("x-api-key") in self.api.keys

    def tokens(self, body: bytes) -> None:
        api, asked = self.api, json.loads(body)
        with api.lock:
            if asked["grant_type"] == "refresh_token":
                api.refreshes.append(asked["refresh_token"])
                held = not api.hold.is_set()
                if held and not api.rotates_while_held:
                    api.hold.wait(120)  # until the client has been killed: its request does not count
                    self.reply(503, b"{}")
                    return
                if asked["refresh_token"] not in api.refreshable:
                    self.reply(400, b'{"error": "invalid_grant", "error_description": "Refresh token not found"}')
                    return
                api.refreshable.discard(asked["refresh_token"])
                time.sleep(0.2)  # long enough for a second refresher to interfere
            answer = api.token_response or json.dumps(api.issue()).encode()
            if asked["grant_type"] == "refresh_token" and held:
                api.hold.wait(120)
        self.reply(200, answer)

    def stream(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events() if b'"messages"' in body else [f"data: {number}\n\n".encode() for number in range(3)]:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
            self.api.hold.wait(120)
        self.wfile.write(b"0\r\n\r\n")

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        if self.api.compress:
            body = gzip.compress(body)
            headers = {**(headers or {}), "Content-Encoding": "gzip"}
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        pass  # killed clients


@contextlib.contextmanager
def serving(tmp_path: Path) -> Iterator[Api]:
    """Run the server."""
    api = Api()
    server = Server(("127.0.0.1", 0), Handler)
    server.api = api  # type: ignore[attr-defined]
    server.socket = certificate(tmp_path, "localhost").wrap_socket(server.socket, server_side=True)
    api.port, api.ca = server.server_port, tmp_path / "cert.pem"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


def write_login(path: Path, api: Api, *, expires_in: float = 3600) -> dict[str, Any]:
    """Write a credentials file with valid tokens, and return its content."""
    issued = api.issue()
    content = {
        "claudeAiOauth": {
            "accessToken": issued["access_token"], "refreshToken": issued["refresh_token"],
            "expiresAt": int((time.time() + expires_in) * 1000), "scopes": ["user:inference", "user:profile"],
            "subscriptionType": "max", "rateLimitTier": "default_claude_max_5x", "unknown": {"kept": True},
        },
        "mcpOAuth": {"server": {"accessToken": "another-secret"}},
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return content
