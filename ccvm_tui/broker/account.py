"""A login by OAuth, whose access token is refreshed before it expires, and once after a host has rejected it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable

from ccvm_tui.agents.logins import Subscription
from ccvm_tui.broker import tokens as oauth
from ccvm_tui.broker.host_file import Locked, Memory, Store, Tokens
from ccvm_tui.broker.sentinels import NoCredential
from ccvm_tui.broker.upstream import Failed, Post

log = logging.getLogger(__name__)

MARGIN = 300.0
"""Seconds before its expiry at which an access token is refreshed."""

REJECTED_EVERY = 60.0
"""Minimum seconds between two refreshes because of rejected tokens. A guest can cause rejections."""

_LOGIN_AGAIN = "log in again on the host, with the agent's own command (for Claude Code: `claude`, then /login)"


class Account:
    """The login whose tokens are in ``store``. ``on_problem`` is called with a text for the user."""

    def __init__(self, subscription: Subscription, store: Store, post: Post, on_problem: Callable[[str], None]) -> None:
        self._subscription = subscription
        self._store = store
        self._post = post
        self._on_problem = on_problem
        self._refreshing: asyncio.Task[Tokens] | None = None
        self._rejected_at = -REJECTED_EVERY
        self._dead: set[bytes] = set()

    @property
    def tokens(self) -> Tokens | None:
        """The current tokens."""
        return self._store.read()

    async def replace(self, tokens: Tokens) -> bool:
        """Store the tokens of a new login, and return whether that was possible."""
        try:
            async with self._store.locked():
                self._store.write(tokens)
        except (Locked, OSError) as error:
            self._problem(f"the login could not be stored: {error}")
            return False
        return True

    async def current(self) -> str:
        """Return an access token that has not expired. Raises NoCredential."""
        found = self._store.read()
        if found is None:
            raise NoCredential(f"there is no login on the host: {_LOGIN_AGAIN}")
        remaining = found.expires_at - time.time()
        if remaining > MARGIN:
            return found.access
        try:
            return (await self._renewed(found.access)).access
        except NoCredential:
            if remaining > 0:
                return found.access
            raise

    async def after_rejection(self, rejected: str) -> str | None:
        """Return another access token than one that a host has rejected, or None if there is none."""
        found = self._store.read()
        if found is not None and found.access != rejected and found.expires_at > time.time():
            return found.access
        if time.monotonic() - self._rejected_at < REJECTED_EVERY:
            return None
        self._rejected_at = time.monotonic()
        try:
            renewed = await self._renewed(rejected)
        except NoCredential:
            return None
        return renewed.access if renewed.access != rejected else None

    async def _renewed(self, replaced: str) -> Tokens:
        """Return tokens in place of the access token ``replaced``. Concurrent calls share one request."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._renew(replaced), name="refresh of a login")
        # a guest that ends its connection must not interrupt the refresh, or the new tokens would be lost
        return await asyncio.shield(self._refreshing)

    async def settle(self) -> None:
        """Wait for a refresh in progress, whose result would be lost otherwise."""
        if self._refreshing is not None:
            await asyncio.wait([self._refreshing])

    async def _renew(self, replaced: str) -> Tokens:
        try:
            async with self._store.locked():
                found = self._store.read()
                if found is None:
                    raise NoCredential(f"there is no login on the host: {_LOGIN_AGAIN}")
                if found.access != replaced and found.expires_at - time.time() > MARGIN:
                    return found  # another process was faster
                return await self._refresh(found)
        except Locked as error:
            raise self._problem(str(error)) from None
        except OSError as error:
            raise self._problem(f"the login cannot be refreshed: {error.filename}: {error.strerror}") from None

    async def _refresh(self, found: Tokens) -> Tokens:
        """Exchange the refresh token, and store the new tokens at once. The lock is held. Raises NoCredential."""
        token = hashlib.sha256(found.refresh.encode()).digest()
        if not found.refresh or token in self._dead:
            raise NoCredential(f"the login has expired: {_LOGIN_AGAIN}")
        endpoint = self._subscription.endpoints[0]
        body = oauth.refresh_request(found.refresh, self._subscription.client, found.scopes)
        try:
            reply = await self._post(endpoint, body)
            if reply.status == 200:
                grant = oauth.parse_grant(reply.body, previous_refresh=found.refresh)
                return self._keep(found.renewed(grant, time.time()))
        except (Failed, oauth.UnknownForm) as error:
            raise self._problem(f"the login could not be refreshed: {error}") from None
        code = oauth.error_code(reply.body)
        if reply.status in (400, 401) and code in ("invalid_grant", "invalid_request_error", "authentication_error"):
            self._dead.add(token)
            raise self._problem(f"the login has expired: {_LOGIN_AGAIN}")
        raise self._problem(f"the login could not be refreshed: {endpoint.host} answered with status {reply.status}")

    def _keep(self, new: Tokens) -> Tokens:
        """Store new tokens, in memory if the file cannot be written: the previous ones are not valid any more."""
        try:
            self._store.write(new)
        except OSError as error:
            self._store = Memory(new)
            self._problem(f"the refreshed login could not be stored, log in again later: {error.strerror}")
        log.info("the login was refreshed, for %.0f s", new.expires_at - time.time())
        return new

    def _problem(self, text: str) -> NoCredential:
        log.warning("%s", text)
        self._on_problem(text)
        return NoCredential(text)
