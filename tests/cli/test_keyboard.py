"""The leader key in a stream of keyboard bytes, wherever the stream is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.cli.keyboard import Action, Command, Keyboard

BYTE = b"\x1c"
KITTY = b"\x1b[92;5u"
OTHER = b"\x1b[27;5;92~"
SPELLINGS = (BYTE, KITTY, OTHER, b"\x1b[92;133u", b"\x1b[92;5:1u", b"\x1b[92::92;5u")
DETACH = Command("detach")
HELP = Command("help")


def make(key: str = "ctrl-\\") -> Keyboard:
    return Keyboard(key, {"d": "detach", "?": "help", "tab": "last", "ctrl-w": "wide"})


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


def run(keyboard: Keyboard, chunks: list[bytes]) -> list[Action]:
    out = [action for chunk in chunks for action in keyboard.feed(chunk)]
    return out + keyboard.idle()


def passed(actions: list[Action]) -> bytes:
    return b"".join(action for action in actions if isinstance(action, bytes))


def commands(actions: list[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, Command)]


cuts = st.lists(st.integers(0, 5000), max_size=8)


@pytest.mark.parametrize("leader", SPELLINGS)
@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        (b"d", DETACH),
        (b"\x1b[100u", DETACH),
        (b"\x1b[100;1:1u", DETACH),
        (b"\x1b[27;1;100~", DETACH),
        (b"?", HELP),
        (b"\x1b[47:63;2u", HELP),
        (b"\x1b[47;2;63u", HELP),
        (b"\x1b[63;2u", HELP),
        (b"\x1b[27;2;63~", HELP),
        (b"\t", Command("last")),
        (b"\x1b[9u", Command("last")),
        (b"\x17", Command("wide")),
        (b"\x1b[119;5u", Command("wide")),
    ],
)
def test_commands_are_recognized_in_every_encoding(leader: bytes, key: bytes, wanted: Command) -> None:
    assert make().feed(b"ab" + leader + key + b"cd") == [b"ab", wanted, b"cd"]


@pytest.mark.parametrize("leader", SPELLINGS)
@pytest.mark.parametrize(
    "key",
    [b"q", b"\r", b"\x03", b"\x1b[A", b"\x1bOA", b"\x1b[1;5C", b"\x1b[15~", b"\x1bx", "é".encode(), "🙂".encode(),
     b"\x1b[113u", b"\x1b[27;1;113~", b"\x1b[Z"],
)  # fmt: skip
def test_an_unknown_key_after_the_leader_is_dropped(leader: bytes, key: bytes) -> None:
    assert make().feed(leader + key + b"after") == [b"after"]


@pytest.mark.parametrize("leader", SPELLINGS)
def test_the_leader_twice_is_passed_on_as_received(leader: bytes) -> None:
    assert make().feed(b"a" + leader + leader + b"d") == [b"a" + leader + b"d"]


def test_reports_after_the_leader_are_passed_on_and_do_not_cancel_it() -> None:
    noise = b"\x1b[<35;10;5M\x1b[I\x1b[?62;22c\x1b[12;40R\x1b]11;rgb:1111/2222/3333\x1b\\\x1bP1$r0m\x1b\\\x1b[?1u"
    assert make().feed(BYTE + noise + b"d") == [noise, DETACH]


def test_releases_and_modifiers_of_the_kitty_protocol_are_not_the_second_key() -> None:
    between = b"\x1b[92;5:3u\x1b[57442;5:3u\x1b[92;5:2u\x1b[57441;2:1u"
    assert make().feed(KITTY + between + b"\x1b[100;1:1u") == [DETACH]


def test_the_release_of_the_leader_is_not_passed_on() -> None:
    assert make().feed(b"a\x1b[92;5:3ub") == [b"ab"]


def test_escape_cancels_the_leader() -> None:
    keyboard = make()
    assert keyboard.feed(BYTE + b"\x1b") == []
    assert keyboard.waiting
    assert keyboard.idle() == []
    assert keyboard.feed(b"d") == [b"d"]


@pytest.mark.parametrize("chunks", [[b"\x1b" + BYTE + b"d"], [b"\x1b", BYTE + b"d"]])
def test_the_leader_works_right_after_escape(chunks: list[bytes]) -> None:
    keyboard = make()
    assert [action for chunk in chunks for action in keyboard.feed(chunk)] == [b"\x1b", DETACH]


def test_a_string_that_contains_the_leader_is_passed_on_unchanged() -> None:
    reply = b"\x1b]11;rgb:0/0/0\x07"
    assert make("ctrl-g").feed(reply + b"\x07d") == [reply, DETACH]


def test_a_paste_is_passed_on_unchanged() -> None:
    paste = b"\x1b[200~one" + BYTE + b"d" + KITTY + b"d\x1b[201~"
    assert make().feed(b"a" + paste + BYTE + b"d") == [b"a" + paste, DETACH]


def test_a_paste_after_the_leader_cancels_it() -> None:
    paste = b"\x1b[200~d\x1b[201~"
    assert make().feed(BYTE + paste + b"d") == [paste + b"d"]


def test_the_leader_works_after_a_paste_without_an_end() -> None:
    keyboard = make()
    keyboard.feed(b"\x1b[200~one")
    keyboard.idle()
    assert keyboard.feed(BYTE) == []
    assert keyboard.feed(b"d") == [DETACH]


def test_complete_keys_are_not_held_back() -> None:
    for key in (b"a", b"\x1b", b"\x1b[A", b"\x1bOA", b"\x1b[15~", b"\x1bx", b"\x1b[<0;1;1M", "é".encode()):
        assert make().feed(key) == [key]


def test_the_beginning_of_a_sequence_is_held_until_the_rest_or_a_pause() -> None:
    keyboard = make()
    assert keyboard.feed(b"\x1b[9") == []
    assert keyboard.waiting
    assert keyboard.idle() == [b"\x1b[9"]
    assert not keyboard.waiting
    assert keyboard.feed(b"2;5u") == [b"2;5u"]


@pytest.mark.parametrize("key", ["ctrl-a", "ctrl-]", "ctrl-space", "ctrl-^", "ctrl-_", "ctrl-i"])
def test_other_leaders_are_recognized(key: str) -> None:
    character = key.removeprefix("ctrl-")
    code = 32 if character == "space" else ord(character)
    byte = bytes([0 if character == "space" else ord(character.upper()) & 0x1F])
    for spelled in (byte, b"\x1b[%d;5u" % code, b"\x1b[27;5;%d~" % code):
        assert make(key).feed(spelled + b"d") == [DETACH]
        assert make(key).feed(spelled + spelled) == [spelled]


pieces = st.sampled_from([
    b"a", b"hello", b"\x1b[A", b"\x1bOB", b"\x1b[<0;3;4M", b"\x1b[I", "é€🙂".encode(), b"\x03", b"\x1b[13;2u",
    b"\x1b[200~x\x1cd\x1b[92;5u\x1b[A\x1b[201~",
])  # fmt: skip
leaders = st.sampled_from(SPELLINGS)


@given(st.lists(pieces), cuts)
def test_input_without_a_leader_is_passed_on_unchanged(parts: list[bytes], where: list[int]) -> None:
    data = b"".join(parts)
    assert passed(run(make(), split(data, where))) == data


@given(st.binary(), cuts)
def test_no_input_raises_an_exception(data: bytes, where: list[int]) -> None:
    passed(run(make(), split(data, where)))


@given(st.lists(st.tuples(pieces, leaders, st.sampled_from([b"d", b"?", b"q", b"\x1b[100u"]))), cuts)
def test_commands_do_not_depend_on_how_the_stream_is_cut(
    parts: list[tuple[bytes, bytes, bytes]], where: list[int]
) -> None:
    data = b"".join(b"".join(part) for part in parts)
    whole = run(make(), [data])
    torn = run(make(), split(data, where))
    assert commands(torn) == commands(whole)
    # a lone ESC is passed on at once, even if it turns out to begin the leader
    assert passed(torn).replace(b"\x1b", b"") == passed(whole).replace(b"\x1b", b"")


@given(st.binary(min_size=1, max_size=200).filter(lambda data: b"\x1b" not in data and BYTE not in data))
def test_text_is_passed_on_at_once(data: bytes) -> None:
    assert make().feed(data) == [data]


def test_a_large_paste_is_passed_on_unchanged() -> None:
    body = b"\x1b[200~" + b"0123456789abcde\r" * (1 << 16) + b"\x1b[201~"
    keyboard = make()
    out = b"".join(passed(keyboard.feed(body[at : at + 4096])) for at in range(0, len(body), 4096))
    assert out == body
