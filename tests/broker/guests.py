"""A guest's programs on this machine, behind a real gate, a real proxy and a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ccvm_tui.broker.broker import Broker
from ccvm_tui.egress.connect import Intercept
from ccvm_tui.outbound import Egress, Logins
from tests.broker.apis import KEY, Api
from tests.egress.gates import Way, way_out
from tests.egress.hosts_of_tests import Names


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Guest:
    """A guest, of which ``broker`` holds the logins."""

    broker: Broker
    way: Way
    api: Api
    events: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The placeholder of the API key."""
        return self.environment["ANTHROPIC_API_KEY"]

    @property
    def tokens(self) -> dict[str, Any]:
        """The tokens in the guest's credentials file."""
        content = self.broker.credentials()
        assert content is not None
        return json.loads(content)["claudeAiOauth"]  # type: ignore[no-any-return]

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['accessToken']}"}

    def connection(self, authority: bytes = b"") -> http.client.HTTPSConnection:
        """A connection of a program that uses the proxy, and trusts the guest's authority or another one."""
        context = ssl.create_default_context(cadata=(authority or self.broker.authority.pem).decode())
        connection = http.client.HTTPSConnection(*self.way.proxy, context=context, timeout=20)
        connection.set_tunnel("localhost", self.api.port)
        return connection

    async def request(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        body: Any = b"{}",
        method: str = "POST",
        authority: bytes = b"",
    ) -> Reply:
        def send() -> Reply:
            with contextlib.closing(self.connection(authority)) as connection:
                connection.request(method, path, body, headers or {})
                response = connection.getresponse()
                return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

        return await asyncio.to_thread(send)

    async def refresh(self, token: str = "") -> Reply:
        asked = {"grant_type": "refresh_token", "refresh_token": token or self.tokens["refreshToken"]}
        return await self.request("/v1/oauth/token", {"Content-Type": "application/json"}, json.dumps(asked))


@contextlib.asynccontextmanager
async def guest_of(
    tmp_path: Path, api: Api, *, keep: bool = False, bases: tuple[str, ...] = ()
) -> AsyncIterator[Guest]:
    """Start a guest whose user has the credentials file ``tmp_path/me/.credentials.json``, if it exists, and a key."""
    intercepts: dict[tuple[str, int], Intercept] = {}
    events: list[str] = []
    spec = Logins("broker", str(tmp_path / "me/.credentials.json"), bases, keep)
    broker = Broker(spec, "claude", intercepts, events.append, login=api.login, context=api.context())
    egress = Egress("allowlist", ("127.0.0.0/8", f"localhost:{api.port}", f"other.test:{api.port}"), (), (443,))
    names = Names(localhost=("127.0.0.1",), other_test=("127.0.0.1",))
    async with way_out(tmp_path, egress, intercepts=intercepts, resolver=names) as way:
        yield Guest(broker, way, api, events, broker.environment({"ANTHROPIC_API_KEY": KEY}))
        await broker.close()
