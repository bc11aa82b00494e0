"""``doctor`` prints what a bug report needs, and not who the user is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import __version__
from ccvm_tui.cli.bug_report import FLAGS, processor, shortened, versions
from tests.cli.conftest import Run

ALICE = {"HOME": "/home/alice", "USER": "alice", "LOGNAME": "alice", "XDG_RUNTIME_DIR": "/run/user/1000"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/alice/.cache/ccvm/images: No space left", "~/.cache/ccvm/images: No space left"),
        ("free some space in /home/alice", "free some space in ~"),
        ("'/home/alice' is full", "'~' is full"),
        ("/home/alice/.config/ccvm/config.toml:3: unknown key", "~/.config/ccvm/config.toml:3: unknown key"),
        ("/home/alice2/x and /mnt/home/alice/x", "/home/alice2/x and /mnt/home/$USER/x"),
        ("/run/user/1000/ccvm", "$XDG_RUNTIME_DIR/ccvm"),
        ("XDG_RUNTIME_DIR is /run/user/1000, which", "XDG_RUNTIME_DIR is /run/user/1000, which"),
        ("image /srv/alice/img.toml (/srv/alice-2/x)", "image /srv/$USER/img.toml (/srv/$USER-2/x)"),
        ("/srv/malice/alices", "/srv/malice/alices"),
        ('no line matching user "alice" in /etc/subuid', 'no line matching user "$USER" in /etc/subuid'),
        ("image must be a path, not '/srv/alice'", "image must be a path, not '/srv/$USER'"),
        ("alice in wonderland", "alice in wonderland"),
        ("QEMU emulator version 7.2.22 (/usr/bin/qemu)", "QEMU emulator version 7.2.22 (/usr/bin/qemu)"),
    ],
)
def test_paths_are_shortened(text: str, expected: str) -> None:
    assert shortened(text, ALICE) == expected


def test_directories_outside_of_the_home_are_variables() -> None:
    environ = ALICE | {"XDG_CACHE_HOME": "/data/alice/cache/", "XDG_STATE_HOME": "/home/alice/state"}
    assert shortened("in /data/alice/cache/ccvm/images", environ) == "in $XDG_CACHE_HOME/ccvm/images"
    assert shortened("in /home/alice/state/ccvm", environ) == "in ~/state/ccvm"
    assert shortened("no directory: /data/alice/cache", environ) == "no directory: /data/$USER/cache"


def test_a_home_behind_a_link_is_shortened_too(tmp_path: Path) -> None:
    real = tmp_path / "disk" / "alice"
    real.mkdir(parents=True)
    (tmp_path / "alice").symlink_to(real)
    environ = {"HOME": str(tmp_path / "alice")}
    assert shortened(f"{real}/image and {tmp_path}/alice/image", environ) == "~/image and ~/image"


def test_a_name_that_is_a_common_word_changes_no_sentence() -> None:
    environ = {"HOME": "/home/user", "USER": "user"}
    assert shortened("user namespaces: allowed for the user", environ) == "user namespaces: allowed for the user"


def test_root_and_a_home_at_the_top_are_not_names() -> None:
    assert shortened("/root/x in /", {"HOME": "/", "USER": "root"}) == "/root/x in /"


@given(st.text(alphabet="abc/ :'\"-._~$", max_size=60))
def test_no_path_with_the_name_remains(text: str) -> None:
    assert not re.search(r"/abc(?![A-Za-z0-9])", shortened(text, {"HOME": "/home/abc", "USER": "abc"}))


@given(st.text(max_size=200))
def test_any_description_of_processors_is_accepted(text: str) -> None:
    model, flags = processor(text)
    assert model == model.strip()
    assert set(flags) <= set(FLAGS)


def test_the_processor_is_the_first_one() -> None:
    text = (
        "processor\t: 0\nmodel name\t: Some CPU @ 2.40GHz\nflags\t\t: fpu hypervisor vmx sse\n\n"
        "processor\t: 1\nmodel name\t: Another\nflags\t\t: svm\n"
    )
    assert processor(text) == ("Some CPU @ 2.40GHz", ("vmx", "hypervisor"))
    assert processor("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n\n") == ("", ())


def test_versions_are_those_of_program_python_system_and_processor() -> None:
    assert list(versions()) == ["ccvm-tui", "python", "system", "processor"]
    assert versions()["ccvm-tui"].startswith(f"{__version__}, protocol ")


def test_doctor_names_nobody(ccvm_tui: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's name is in the home directory, in a path of the settings, and in the directories of XDG."""
    root = home / "mnt" / "zaphod"
    for name in ("home", "cache", "images", "zaphod"):
        (root / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(root / "zaphod"))
    monkeypatch.setenv("USER", "zaphod")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(root / "zaphod" / "etc"))
    monkeypatch.setenv("CCVM_IMAGE", str(root / "images" / "mine.toml"))
    shown = ccvm_tui("doctor").stdout.decode()
    assert "zaphod" not in shown
    assert shown.startswith("ccvm-tui  ")
    assert f"{home}/mnt/$USER/images/mine.toml" in shown
    assert "free for images in $XDG_CACHE_HOME/ccvm" in shown
    assert "~/etc/ccvm/config.toml does not exist" in shown
    assert "$XDG_RUNTIME_DIR/ccvm" in shown
    as_json = ccvm_tui("doctor", "--json").stdout.decode()
    assert "zaphod" not in as_json
    assert json.loads(as_json)["versions"] == versions()
