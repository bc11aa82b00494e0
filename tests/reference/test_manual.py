"""The manual pages are valid, and describe every verb, option and setting."""

from __future__ import annotations

import subprocess

import pytest

from ccvm_tui.cli import ccvm, parser
from ccvm_tui.config import SCHEMA
from reference.commands import Command, Option, commands
from reference.manual import pages

PAGES = pages()


def shown(name: str) -> str:
    """Return a page as a reader sees it, in one line."""
    argv = ["groff", "-man", "-ww", "-K", "utf8", "-T", "utf8", "-P", "-cbou", "-rHY=0", "-rLL=1000n"]
    done = subprocess.run(argv, input=PAGES[name].encode(), capture_output=True, check=True)
    assert done.stderr == b""
    return " ".join(done.stdout.decode().replace("\N{MINUS SIGN}", "-").replace("\N{HYPHEN}", "-").split())


@pytest.mark.parametrize("name", PAGES)
def test_groff_has_no_warnings(name: str) -> None:
    argv = ["groff", "-man", "-ww", "-K", "utf8", "-T", "utf8", "-z"]
    done = subprocess.run(argv, input=PAGES[name].encode(), capture_output=True, check=True)
    assert done.stderr == b""


@pytest.mark.parametrize("name", PAGES)
def test_the_name_section_can_be_indexed(name: str) -> None:
    """apropos(1) finds a page by a name section that has the form ``name - description``."""
    title = name.rpartition("/")[2].rpartition(".")[0]
    assert f" NAME {title} - " in shown(name)


def test_every_verb_and_option_has_its_place() -> None:
    index = shown("man1/ccvm-tui.1")
    for command in commands():
        assert f"ccvm-tui-{command.verb}(1)" in index
        page = shown(f"man1/ccvm-tui-{command.verb}.1")
        for option in (*command.arguments, *command.options):
            assert f" {option.spelling.replace('…', '...')} " in page, command.name


def test_every_flag_of_ccvm_and_every_setting_has_its_place() -> None:
    page = shown("man1/ccvm.1")
    assert all(f" {flag} {about.split()[0]}" in page for flag, about in ccvm.FLAGS.items())
    page = shown("man5/ccvm-tui.toml.5")
    assert all(f" {name} = " in page for name in SCHEMA)


def test_characters_that_are_special_to_roff_are_shown() -> None:
    assert "Ctrl+\\ d leaves the session running." in shown("man1/ccvm-tui-run.1")
    assert 'leader = "ctrl-\\\\"' in shown("man5/ccvm-tui.toml.5")


def test_commands_have_the_usage_of_the_parser() -> None:
    by_name = {command.name: command for command in commands()}
    assert {command.verb for command in by_name.values()} == set(parser.VERBS)
    assert by_name["exec"] == Command(
        "exec",
        "run a program in a guest, with pipes instead of a terminal",
        ("ccvm-tui exec", "[-n]", "GUEST", "-- COMMAND [ARGUMENT…]"),
        (
            Option("GUEST", 'its name, an unambiguous prefix of it, or "." for this directory\'s'),
            Option("-- COMMAND", "the program and its arguments"),
        ),
        (Option("-n, --no-stdin", "give the program an empty standard input"),),
        "",
    )
    assert "[--console | --qemu | --keeper | --events]" in by_name["logs"].usage
    assert by_name["image rm"].usage == ("ccvm-tui image rm", "DIGEST…")
    assert by_name["run"].usage[-1] == "[-- ARGUMENT…]"


def test_every_option_has_a_description() -> None:
    for command in commands():
        assert all(option.about for option in (*command.arguments, *command.options)), command.name
