"""The broker of one guest: its placeholders, its certificate authority, and the hosts that it serves in their place."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ccvm_tui.agents import AGENTS, Agent
from ccvm_tui.agents.logins import HTTPS, Key, Login, Place, Subscription
from ccvm_tui.broker import sentinels as placeholders
from ccvm_tui.broker import serve, upstream
from ccvm_tui.broker import tokens as oauth
from ccvm_tui.broker.account import Account
from ccvm_tui.broker.authority import SUBJECT_HASH, Authority
from ccvm_tui.broker.git import GitLogins, GitPlace
from ccvm_tui.broker.host_file import HostFile, Memory, Tokens
from ccvm_tui.broker.sentinels import Entry, Fixed, NoCredential, Sentinels
from ccvm_tui.egress import hosts
from ccvm_tui.egress.connect import Dial, Intercept
from ccvm_tui.egress.link import Stream
from ccvm_tui.egress.outer import Outer
from ccvm_tui.outbound import Logins as Spec

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""The certificate authorities that programs in the guest trust."""

CERTIFICATE = "/usr/local/share/ca-certificates/ccvm-logins.crt"
"""The guest's authority. Programs that update the bundle read this directory."""

ENVIRONMENT = {"NODE_EXTRA_CA_CERTS": CERTIFICATE, "SSL_CERT_FILE": BUNDLE}
"""Variables for programs that have authorities of their own: Node.js and Bun, and some in Rust."""


class Broker:
    """The broker of one guest, whose agent is ``agent``.

    ``intercepts`` are the hosts that it serves, to which it adds more later. ``on_event`` is called with a text for the
    user. ``context``, ``proxies`` and ``post`` are for connections to hosts. ``writable`` returns the directories to
    which guests can write.
    """

    def __init__(
        self,
        spec: Spec,
        agent: str,
        intercepts: dict[tuple[str, int], Intercept],
        on_event: Callable[[str], None] = lambda _: None,
        *,
        login: Login | None = None,
        context: ssl.SSLContext | None = None,
        proxies: Outer | None = None,
        writable: Callable[[], list[str]] = list,
        post: upstream.Post | None = None,
    ) -> None:
        known: Agent | None = AGENTS.get(agent)
        self._spec = spec
        self._login = login or (known.login if known is not None else Login(()))
        self._on_event = on_event
        self._intercepts = intercepts
        self.context = context or upstream.client_context()
        self._post = post or upstream.poster(self.context, proxies)
        self._base = base_places(spec.bases)
        self._keys = {key.variable: key for agent_ in AGENTS.values() for key in agent_.login.keys}
        self._keys |= {key.variable: key for key in self._login.keys}
        self.subscription: Subscription | None = self._login.subscription
        self.sentinels = Sentinels()
        self._by_value: dict[tuple[str, str], str] = {}
        self._reserved: dict[str, str] = {}
        self._accounts: dict[str, tuple[Account, str, str]] = {}
        places = {place for key in self._keys.values() for place in key.places} | set(self._base)
        if self.subscription is not None:
            places |= {*self.subscription.places, *self.subscription.endpoints, self.subscription.minting}
        git_places = [GitPlace.parse(text) for text in spec.git]
        self.git = GitLogins(git_places, spec.git_config, spec.home, writable) if git_places else None
        self.authority = Authority({place.host for place in places} | {place.host for place in git_places})
        if self.subscription is not None:
            self._serve_places((*self.subscription.places, *self.subscription.endpoints, self.subscription.minting))
        self._serve_places(self._base)
        for place in git_places:
            self._intercepts[place.host, place.port] = self._intercept
        self._host_account = self._open_host_account()

    # --- the guest's side ---------------------------------------------------------------------------------

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a program, with placeholders in place of keys."""
        replaced = {name: self._placeholder(self._keys[name], given[name]) for name in given if name in self._keys}
        return {**ENVIRONMENT, **given, **replaced}

    def _placeholder(self, key: Key, value: str) -> str:
        """Return the placeholder for the value of a variable."""
        if not value or placeholders.is_placeholder(value):
            return value
        known = self._by_value.get((key.variable, value))
        if known is None:
            known = self._reserved.pop(key.variable, None) or placeholders.make(key.form)
            self._by_value[key.variable, value] = known
            self._add(Entry(known, Fixed(value), (*key.places, *self._base_of(key)), key.headers))
        return known

    def key_ending(self, length: int) -> str:
        """Return the end of the placeholder that the agent's API key will have, or an empty text."""
        if not self._login.keys:
            return ""
        key = self._login.keys[0]
        for (variable, _), sentinel in self._by_value.items():
            if variable == key.variable:
                return sentinel[-length:]
        return self._reserved.setdefault(key.variable, placeholders.make(key.form))[-length:]

    def credentials(self) -> bytes | None:
        """Return the agent's credentials file for the guest, or None if there is no login on the host."""
        subscription, account = self.subscription, self._host_account
        if subscription is None or account is None or (tokens := account.tokens) is None:
            return None
        _, access, refresh = self._register(account)
        member: dict[str, Any] = {name: tokens.facts[name] for name in subscription.facts if name in tokens.facts}
        member |= {"accessToken": access, "refreshToken": refresh, "expiresAt": int((time.time() + oauth.FAR) * 1000)}
        return json.dumps({subscription.member: member}).encode()

    def certificates(self) -> dict[str, bytes]:
        """Return files for the guest by path: the authority, which is appended to a file that exists."""
        pem = self.authority.pem
        return {BUNDLE: b"\n" + pem, CERTIFICATE: pem, f"/etc/ssl/certs/{SUBJECT_HASH}.0": pem}

    # --- logins -------------------------------------------------------------------------------------------

    def _open_host_account(self) -> Account | None:
        if self.subscription is None or not self._spec.credentials:
            return None
        store = HostFile(Path(self._spec.credentials), self.subscription)
        return Account(self.subscription, store, self._post, self._on_event)

    def _register(self, account: Account) -> tuple[Account, str, str]:
        """Return the account with its placeholders: of the access token, and of the refresh token."""
        assert self.subscription is not None
        for registered in self._accounts.values():
            if registered[0] is account:
                return registered
        access, refresh = (
            placeholders.make(form) for form in (self.subscription.access_form, self.subscription.refresh_form)
        )
        self._add(Entry(access, account, (*self.subscription.places, *self._base), ("authorization",)))
        self._accounts[refresh] = account, access, refresh
        return self._accounts[refresh]

    async def refresh(self, sentinel: str) -> bytes:
        """Return the response to a request for new tokens, whose placeholders stay the same. Raises NoCredential."""
        if sentinel not in self._accounts:
            raise NoCredential("the refresh token is not one of this guest's")
        account, access, refresh = self._accounts[sentinel]
        await account.current()
        tokens = account.tokens
        return oauth.grant_response(" ".join(tokens.scopes) if tokens else "", {}, access, refresh)

    async def capture(self, body: bytes) -> bytes:
        """Keep the tokens of a new login, and return the response for the guest. Raises UnknownForm."""
        assert self.subscription is not None
        grant = oauth.parse_grant(body)
        tokens = Tokens("", "", 0.0).renewed(grant, time.time())
        account = self._host_account
        kept = self._spec.keep and account is not None and await account.replace(tokens)
        if account is None or not kept:
            account = Account(self.subscription, Memory(tokens), self._post, self._on_event)
        _, access, refresh = self._register(account)
        self._on_event("a login in the guest was " + ("stored for later guests" if kept else "kept in memory"))
        return oauth.grant_response(grant.scope, grant.about, access, refresh)

    def capture_key(self, body: bytes) -> bytes:
        """Keep a new API key, and return the response for the guest. Raises UnknownForm."""
        assert self.subscription is not None
        key, member = self.subscription.minted, self.subscription.minted_member
        sentinel = self._placeholder(key, oauth.parse_minted(body, member))
        return json.dumps({member: sentinel}).encode()

    async def close(self) -> None:
        """Wait until refreshed tokens are stored."""
        for account, *_ in self._accounts.values():
            await account.settle()

    # --- hosts --------------------------------------------------------------------------------------------

    def _base_of(self, key: Key) -> tuple[Place, ...]:
        return self._base if key.variable in {own.variable for own in self._login.keys} else ()

    def _add(self, entry: Entry) -> None:
        self.sentinels.add(entry)
        self._serve_places(entry.places)

    def _serve_places(self, places: tuple[Place, ...]) -> None:
        for place in places:
            self._intercepts[place.host, place.port] = self._intercept

    async def _intercept(self, stream: Stream, host: str, port: int, dial: Dial) -> None:
        await serve.serve(stream, host, port, dial, self.authority.context(host), self)


def base_places(urls: tuple[str, ...]) -> tuple[Place, ...]:
    """Return the places of URLs that the user wants in place of an agent's own. Only names with HTTPS have one."""
    places = []
    for url in urls:
        try:
            parts = urlsplit(url)
            host = hosts.parse(parts.hostname or "")
            port = parts.port or HTTPS
        except ValueError:
            continue
        if parts.scheme == "https" and isinstance(host, str):
            places.append(Place(host, (f"{parts.path.rstrip('/')}/",), port))
    return tuple(places)
