"""Fixtures for all tests: a separate home, keepers without a guest, and the image of real guests."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from ccvm_tui.client import connection, listing, spawn
from ccvm_tui.errors import CcvmError, NoSuchGuest
from ccvm_tui.guest import SessionKind
from ccvm_tui.image import NO_LAYER, Image, Runtime, Store, build, load_recipe
from ccvm_tui.protocol import LaunchSpec, SessionSpec
from tests import process_coverage
from tests.waiting import wait_until

# There is no deadline, because the time that an example takes depends on what else the machine is doing.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

_numbers = itertools.count(1)

pytest_plugins = ("tests.attack_report",)

XDG = ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME")


TOGETHER = {
    "tests/guest/test_": "guest",
    "tests/guest/test_faults_": "spare guest",
    "tests/guest/test_world": "spare guest",
    "tests/guest/test_accelerators": "spare guest",
    "tests/guest/test_fidelity": "guest of the terminals",
    "tests/guest/test_share.": "own guests",
    "tests/guest/test_share_": "own guests",
    "tests/guest/test_boot_script": "own guests",
    "tests/guest/test_review": "own guests",
    "tests/guest/test_scratch": "own guests",
    "tests/guest/test_attempts": "own guests",
    "tests/guest/test_sharing": "agents",
    "tests/guest/test_other_agents": "agents",
    "tests/guest/test_guard": "agents",
    "tests/guest/test_logins": "agents",
    "tests/attack/": "attacks",
}
"""The beginnings of files whose tests run in the same process because they share guests, and the name of the group.

The longest beginning counts. Groups of similar duration can run at the same time."""


class Schedule(LoadScopeScheduling):
    """The distribution of tests among processes (``pytest -n``): those of a file, or of a group of files, to one.

    At most as many processes as the host has cores run groups, which have guests. Guests keep a core busy, and many other
    tests wait most of the time, so both together use the cores best.
    """

    def _assign_work_unit(self, node: WorkerController) -> None:
        groups = set(TOGETHER.values())
        busy = sum(
            not all(done for name, tests in units.items() if name in groups for done in tests.values())
            for other, units in self.assigned_work.items()
            if other is not node
        )
        wanted = busy < (os.cpu_count() or 1)
        if chosen := next((name for name in self.workqueue if (name in groups) == wanted), None):
            self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return (
            TOGETHER[max(matching, key=len)]
            if (matching := [one for one in TOGETHER if file.startswith(one)])
            else file
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files and groups first, so that the last process ends soon after the others.

    These are the groups with guests, and the files with terminals, which leave the processor to the guests most of the time.
    """
    order = (("tests/guest/", "tests/attack/"), ("tests/tui/", "tests/fidelity/"), ("tests/image/",), ("",))
    items.sort(key=lambda item: next(at for at, start in enumerate(order) if item.nodeid.startswith(start)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Do not measure the coverage of a test with the mark ``unmeasured``."""
    with process_coverage.paused() if item.get_closest_marker("unmeasured") else contextlib.nullcontext():
        return (yield)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Schedule:
    """Return the scheduler for ``config``."""
    return Schedule(config, log)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A separate home for the test; see ``own_home``."""
    with own_home(monkeypatch) as root:
        yield root


@contextlib.contextmanager
def own_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a directory for all files except the cache, whose image is kept. The path is short, for the sockets."""
    root = Path(tempfile.mkdtemp(prefix="ccvm-t"))
    for name in XDG:
        path = root / name[4:-4].lower().replace("_", "")
        path.mkdir(mode=0o700)
        monkeypatch.setenv(name, str(path))
    for name in list(os.environ):
        if name.startswith("CCVM_"):
            monkeypatch.delenv(name)
    share_nothing(monkeypatch)
    runtime = os.environ["XDG_RUNTIME_DIR"]
    yield root
    stop_all(runtime)
    shutil.rmtree(root, ignore_errors=True)


def share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the configuration of the user who runs the tests out of their guests."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", "/nonexistent")
    monkeypatch.setenv("CCVM_SHARE_GIT_CONFIG", "0")


def stop_all(runtime: str) -> None:
    """Stop the guests in ``runtime``, and never the user's, even if the test has changed the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", runtime)
        for guest in listing.names():
            with contextlib.suppress(CcvmError):
                listing.stop_any(guest, force=True)


def wait_for_start(guest: str) -> None:
    """Wait until a guest, whose keeper has been started, has its first session, or has ended."""

    def has_started() -> bool:
        try:
            state: str = listing.ask_once(guest)["state"]
        except NoSuchGuest:
            return True
        return state != "booting"

    wait_until(has_started, lambda: f"{guest} still boots")


Launch = Callable[..., Awaitable[connection.Keeper]]


@pytest.fixture
async def local(home: Path) -> AsyncIterator[Launch]:
    """Return a function that starts a keeper without a guest, whose session s1 runs the arguments, and connects to it."""
    keepers: list[connection.Keeper] = []

    async def launch(*argv: str, linger: bool = False, detached: bool = False, **settings: object) -> connection.Keeper:
        project = home / "project"
        project.mkdir(exist_ok=True)
        session = (
            SessionSpec(SessionKind.COMMAND, argv, {"HOME": str(home), "PS1": "$ "}, detached=detached)
            if argv
            else None
        )
        spec = LaunchSpec(
            name=f"local-{next(_numbers)}",
            project=str(project),
            session=session,
            linger=linger,
            **settings,  # type: ignore[arg-type]
        )
        assert await spawn.launch(spec)
        keeper = await connection.connect(spec.name, events=True)
        keepers.append(keeper)
        return keeper

    yield launch
    for keeper in keepers:
        with contextlib.suppress(CcvmError):
            await keeper.stop(force=True)
        await keeper.close()


@pytest.fixture(scope="session")
def image() -> Image:
    """The default image without an agent, from the user's cache. The first test that needs the image builds it."""
    recipe, store = load_recipe(), Store()
    return store.find(recipe, NO_LAYER) or build(store, recipe, (), lambda progress: print(progress, file=sys.stderr))


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """QEMU of the default image's suite, from the user's cache. The first test that needs QEMU unpacks it."""
    recipe, store = load_recipe(), Store()
    if store.runtime(recipe) is None:
        build(store, recipe, (), lambda progress: print(progress, file=sys.stderr), runtime=True)
    found = store.runtime(recipe)
    assert found is not None
    return found
