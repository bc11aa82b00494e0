"""The parts of the broker without input and output, with arbitrary requests, responses and pieces."""

from __future__ import annotations

import datetime
import json
import ssl
import subprocess
from typing import Any

import h11
import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.agents import AGENTS
from ccvm_tui.agents.logins import Place
from ccvm_tui.broker import sentinels, tokens
from ccvm_tui.broker.authority import SUBJECT_HASH, Authority
from ccvm_tui.broker.judge import Denied, Inject, Plain, judge, path_of
from ccvm_tui.broker.scrub import Scrubber
from ccvm_tui.broker.sentinels import Entry, Fixed, Sentinels

ACCESS, REFRESH = "sk-ant-oat01-" + "a" * 40, "sk-ant-ort01-" + "r" * 40
GRANT = {"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 60}

# --- requests


def table() -> tuple[Sentinels, Entry]:
    entry = Entry(
        sentinels.make("sk-"), Fixed("secret"), (Place("a.example", ("/v1/messages", "/api/")),), ("x-api-key",)
    )
    known = Sentinels()
    known.add(entry)
    return known, entry


PARTS = st.sampled_from(
    ["/", "v1", "messages", "api", "x", "..", ".", "%2e", "%2F", "%5c", "\\", "//", "?", "#", "\x00", "é", " "]
)


@given(
    st.lists(PARTS, max_size=8).map("".join), st.sampled_from(["a.example", "b.example"]), st.sampled_from([443, 80])
)
def test_a_credential_goes_in_at_listed_places_only(target: str, host: str, port: int) -> None:
    known, entry = table()
    headers = [(b"host", host.encode()), (b"x-api-key", entry.sentinel.encode())]
    try:
        plan = judge(host, port, b"GET", target.encode("utf-8"), headers, known)
    except Denied:
        return
    assert isinstance(plan, Inject)
    path = path_of(target.encode())
    assert (host, port) == ("a.example", 443)
    assert path == "/v1/messages" or path.startswith(("/v1/messages/", "/api/"))
    assert ".." not in path.split("/")
    assert not any(part in path.lower() for part in ("//", "%2e", "%2f", "%5c"))


@given(st.text(min_size=1, max_size=30), st.sampled_from(["x-api-key", "authorization", "cookie", "x-other"]))
def test_a_placeholder_with_anything_around_it_is_not_replaced(around: str, name: str) -> None:
    known, entry = table()
    value = f"{around}{entry.sentinel}".encode("latin-1", "replace")
    headers = [(b"host", b"a.example"), (name.encode(), value)]
    with pytest.raises(Denied):
        judge("a.example", 443, b"GET", b"/v1/messages", headers, known)


def test_other_requests_are_plain() -> None:
    known, _ = table()
    assert judge("a.example", 443, b"GET", b"/elsewhere", [(b"host", b"a.example")], known) == Plain()


def test_the_table_lists_no_path_that_covers_everything() -> None:
    for agent in AGENTS.values():
        places = [place for key in agent.login.keys for place in key.places]
        if agent.login.subscription is not None:
            places += agent.login.subscription.places
            for place in (*agent.login.subscription.endpoints, agent.login.subscription.minting):
                assert place.host in agent.hosts
                # tokens are requested there, so no credential is used at the same path
                assert not [one for one in places if one.covers(place.host, place.port, place.paths[0])]
        assert "/" not in {path for place in places for path in place.paths}
        assert {key.variable for key in agent.login.keys} >= set(agent.keys)
        if agent.name != "opencode":
            assert {place.host for place in places} <= set(agent.hosts)


# --- responses


@given(st.lists(st.binary(max_size=12)), st.binary(max_size=60), st.integers(1, 7))
def test_a_credential_is_overwritten_in_any_pieces(around: list[bytes], between: bytes, size: int) -> None:
    secret = "abcabcabd-secret"
    data = secret.encode().join([*around, between]) + secret.encode() + b"abcabc"
    scrubber = Scrubber([secret])
    pieces = [scrubber.feed(data[at : at + size]) for at in range(0, len(data), size)]
    result = b"".join([*pieces, scrubber.end()])
    assert len(result) == len(data)
    assert secret.encode() not in result
    assert result == data.replace(secret.encode(), b"*" * len(secret))


def test_nothing_is_held_back_that_cannot_be_a_credential() -> None:
    scrubber = Scrubber(["sk-ant-secret"])
    assert scrubber.feed(b"data: 1\n\n") == b"data: 1\n\n"
    assert scrubber.feed(b"data: sk-a") == b"data: "
    assert scrubber.feed(b"mple\n") == b"sk-ample\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.sampled_from([ACCESS, REFRESH, f"x{ACCESS}", "sk-" + "z" * 30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.sampled_from([ACCESS, "token"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
MEMBERS = st.sampled_from(
    ["account", "organization", "scope", "extra", "id_token", "token_type", "expires_in", "refresh_token"]
)


@given(st.dictionaries(MEMBERS, JSON, max_size=4))
def test_no_token_passes_in_a_response_of_any_form(members: dict[str, Any]) -> None:
    body = json.dumps({**GRANT, **members}).encode()
    try:
        grant = tokens.parse_grant(body)
    except tokens.UnknownForm:
        return
    answer = tokens.grant_response(grant.scope, grant.about, "placeholder-1", "placeholder-2").decode()
    for secret in (ACCESS, REFRESH, grant.refresh, "z" * 30):
        assert not secret or secret not in answer
    assert ACCESS not in repr(grant)


@given(st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_other_response_is_an_error_or_of_an_unknown_form(body: bytes) -> None:
    for parse in (tokens.parse_grant, tokens.error_response):
        try:
            result = parse(body)
        except tokens.UnknownForm:
            continue
        assert parse is tokens.error_response
        assert ACCESS.encode() not in result  # type: ignore[operator]


@given(st.binary(max_size=60))
def test_any_request_for_tokens_has_parameters_or_is_refused(body: bytes) -> None:
    try:
        parsed = tokens.parse_request(body)
    except tokens.UnknownForm:
        return
    assert all(isinstance(value, str) for value in parsed.values())


def test_requests_for_tokens_are_json_or_forms() -> None:
    assert tokens.parse_request(b'{"grant_type": "x", "n": 1}') == {"grant_type": "x"}
    assert tokens.parse_request(b"grant_type=x&code=a%20b") == {"grant_type": "x", "code": "a b"}


# --- certificates


def test_certificates_are_strictly_valid_and_only_for_listed_hosts() -> None:
    authority = Authority(["a.example", "b.example"])
    found = authority.context("a.example")
    assert authority.context("a.example") is found
    with pytest.raises(KeyError):
        authority.context("c.example")
    root = x509.load_pem_x509_certificate(authority.pem)
    leaf = _leaf(found, authority.pem)
    now = datetime.datetime.now(datetime.UTC)
    verifier = PolicyBuilder().store(Store([root])).time(now).build_server_verifier(x509.DNSName("a.example"))
    assert verifier.verify(leaf, [])[0] == leaf
    constraints = root.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName("a.example"), x509.DNSName("b.example")]


def test_openssl_finds_the_authority_by_its_hash() -> None:
    done = subprocess.run(["openssl", "x509", "-hash", "-noout"], input=Authority(["a"]).pem, capture_output=True)
    assert done.stdout.decode().strip() == SUBJECT_HASH


def _leaf(server: ssl.SSLContext, root: bytes) -> x509.Certificate:
    """Return the certificate of a server, by a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cadata=root.decode())
    ours = client.wrap_bio(to_client, to_server, server_hostname="a.example")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in {ours, theirs} - done:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            done.add(side)
    certificate = ours.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate)


def test_headers_have_lower_case_names_as_the_decisions_expect() -> None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: b\r\n\r\n")
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert list(request.headers) == [(b"host", b"a"), (b"x-api-key", b"b")]
