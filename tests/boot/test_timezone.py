"""The host's time zone, in all forms in which it can be set."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ccvm_tui.boot.timezone import rules, timezone
from ccvm_tui.protocol import Timezone

ZONES = Path("/usr/share/zoneinfo")
BERLIN = (ZONES / "Europe/Berlin").read_bytes()
NOWHERE = Path("/nonexistent")


@pytest.fixture(autouse=True)
def _own_zone() -> Iterator[None]:
    before = os.environ.get("TZ")
    yield
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        (":/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/../share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_a_zone_is_found_by_its_name_or_its_file(value: str, name: str) -> None:
    assert timezone({"TZ": value}) == Timezone(name, BERLIN)


@pytest.mark.parametrize("value", ["", ":", "/nonexistent", "/etc/passwd", ":/etc", "../../../etc/passwd", "a b", "\0"])
def test_an_invalid_zone_is_utc(value: str) -> None:
    assert timezone({"TZ": value}) == Timezone()


def test_an_unknown_name_is_passed_to_the_guest() -> None:
    assert timezone({"TZ": "Mars/Olympus_Mons"}) == Timezone("Mars/Olympus_Mons")


def test_without_tz_the_zone_is_the_systems(tmp_path: Path) -> None:
    localtime = tmp_path / "localtime"
    assert timezone({}, localtime, NOWHERE) == Timezone()
    localtime.symlink_to(ZONES / "Europe/Berlin")
    assert timezone({}, localtime, NOWHERE) == Timezone("Europe/Berlin", BERLIN)
    assert timezone({"TZ": f":{localtime}"}) == Timezone("Europe/Berlin", BERLIN)
    assert timezone({"TZ": str(localtime)}) == Timezone("Europe/Berlin", BERLIN)


def test_the_name_is_that_of_the_first_link(tmp_path: Path) -> None:
    database = tmp_path / "zoneinfo"
    (database / "US").mkdir(parents=True)
    (database / "America").mkdir()
    (database / "America/Los_Angeles").write_bytes(BERLIN)
    (database / "US/Pacific").symlink_to("../America/Los_Angeles")
    (tmp_path / "chosen").symlink_to("zoneinfo/US/Pacific")
    (tmp_path / "localtime").symlink_to(tmp_path / "chosen")
    assert timezone({}, tmp_path / "localtime", NOWHERE) == Timezone("US/Pacific", BERLIN)
    assert timezone({"TZ": "US/Pacific", "TZDIR": str(database)}) == Timezone("US/Pacific", BERLIN)


def test_the_name_of_a_copy_is_read_from_a_file_if_it_is_still_valid(tmp_path: Path) -> None:
    localtime, name_file = tmp_path / "localtime", tmp_path / "timezone"
    localtime.write_bytes(BERLIN)
    assert timezone({}, localtime, name_file) == Timezone("", BERLIN)
    name_file.write_text("Europe/Berlin\n")
    assert timezone({}, localtime, name_file) == Timezone("Europe/Berlin", BERLIN)
    name_file.write_text("Asia/Tokyo\n")
    assert timezone({}, localtime, name_file) == Timezone("", BERLIN)


def test_a_loop_of_links_is_utc(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert timezone({}, tmp_path / "a", NOWHERE) == Timezone()


# --- strings ------------------------------------------------------------------------------------------------------

ABBREVIATIONS = st.from_regex(r"[A-Z]{3,5}|<[+-]?[A-Za-z0-9]{3,5}>", fullmatch=True)
OFFSETS = st.from_regex(r"[+-]?(1?[0-9]|2[0-3])(:[0-5][0-9](:[0-5][0-9])?)?", fullmatch=True)
DAYS = st.one_of(
    st.integers(1, 365).map("J{}".format),
    st.integers(0, 365).map(str),
    st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(0, 6)).map(lambda day: "M{}.{}.{}".format(*day)),
)
DATES = st.builds(lambda day, hour: f"{day}{hour}", DAYS, st.one_of(st.just(""), OFFSETS.map("/{}".format)))
SUMMERS = st.one_of(
    st.just(""),
    st.builds(
        lambda name, offset, rules: f"{name}{offset}{rules}",
        ABBREVIATIONS,
        st.one_of(st.just(""), OFFSETS),
        # Without dates the C library may take those of a file of its own (posixrules), which are different.
        st.tuples(DATES, DATES).map(lambda dates: ",{},{}".format(*dates)),
    ),
)
STRINGS = st.builds(lambda name, offset, summer: f"{name}{offset}{summer}", ABBREVIATIONS, OFFSETS, SUMMERS)


def local(zone: str, moment: int) -> tuple[object, ...]:
    os.environ["TZ"] = zone
    time.tzset()
    then = time.localtime(moment)
    return (*then, then.tm_zone, then.tm_gmtoff)


@settings(deadline=None)
@given(STRINGS, st.integers(-(2**31), 2**33))
@example("CET-1CEST,M3.5.0,M10.5.0/3", 1_790_000_000)
@example("<+0530>-5:30", 0)
@example("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 1_790_000_000)
def test_a_string_and_its_file_are_equivalent(
    tmp_path_factory: pytest.TempPathFactory, string: str, moment: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "zone"
    file.write_bytes(rules(string))
    os.environ["TZ"] = "UTC"  # the C library reads a file again only if TZ has changed
    time.tzset()
    assert local(f":{file}", moment) == local(string, moment)


@given(st.text())
def test_an_invalid_string_has_no_file(text: str) -> None:
    assert rules(text) == b"" or text[:1].isalpha() or text[:1] == "<"


def test_a_string_becomes_rules_without_a_name() -> None:
    zone = timezone({"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"})
    assert zone == Timezone("", rules("CET-1CEST,M3.5.0,M10.5.0/3"))
    assert zone.data.startswith(b"TZif")
