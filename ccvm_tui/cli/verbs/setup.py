"""``ccvm-tui setup``: install what is missing on this machine, after questions, and build the guest image.

What is missing, and how to solve it, are the results of ``doctor``; see ``Remedy``. Commands that need root are run
with sudo.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.config import Settings
    from ccvm_tui.machine.check import Check
    from ccvm_tui.requirements import PackageManager


_BUILD = "ccvm-tui image build"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the machine: its purpose, and commands for root. ``afterwards`` is what the user must do then."""

    purpose: str
    commands: tuple[tuple[str, ...], ...]
    afterwards: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, but run none")
    parser.add_argument("--no-image", action="store_true", help="do not build the guest image")


def run(args: argparse.Namespace) -> int:
    """Set this machine up, and return 0 if guests can run then, else 1."""
    from ccvm_tui import config
    from ccvm_tui.requirements import package_manager

    settings = config.resolve(Path.cwd(), os.environ).settings
    manager = package_manager()
    checks = _checks()
    steps = plan(checks, manager)
    if args.dry_run:
        _print_commands(steps)
        if not (args.no_image or _has_image(checks)):
            obstacle = _image_obstacle(settings, checks, installed=[step.commands[-1] for step in steps])
            if obstacle:
                _say(obstacle)
            else:
                print(_BUILD)
        _show([check for check in checks if check.status == "fail" and not plan([check], manager)])
        return 0
    taken = [_take(step, yes=args.yes) for step in steps]
    if any(taken):
        checks = _checks()
    if not args.no_image and _provide_image(checks, settings, yes=args.yes):
        checks = _checks()
    return _report(checks)


def _checks() -> list[Check]:
    from ccvm_tui.cli.verbs import doctor

    _say("looking for what is missing …")
    return asyncio.run(doctor.all_checks())


def plan(checks: Iterable[Check], manager: PackageManager | None) -> list[Step]:
    """Return the steps that solve the problems in ``checks``, as far as they can be solved on this machine."""
    from ccvm_tui import requirements

    found = [check for check in checks if check.remedy is not None]
    missing = [item for check in found if check.remedy for item in check.remedy.requirements]
    steps = []
    if manager is not None and (packages := requirements.packages(missing, manager)):
        installed = ", ".join(item.name for item in dict.fromkeys(missing) if manager.name in item.packages)
        commands = [manager.refresh] if manager.refresh else []
        # the question has been asked by then, so the package manager does not ask again
        commands.append(manager.command(packages, unattended=True))
        steps.append(Step(f"install {installed}", tuple(commands)))
    return steps + [
        Step(f"{check.name}: {check.detail}", (check.remedy.command,), check.remedy.afterwards)
        for check in found
        if check.remedy and check.remedy.command
    ]


def _print_commands(steps: Iterable[Step]) -> None:
    for step in steps:
        for command in step.commands:
            print(shlex.join(_as_root(command)))


def _take(step: Step, *, yes: bool) -> bool:
    """Run the commands of a step, after a question unless ``yes``, and return whether one was run."""
    _say(f"\n{step.purpose}")
    commands = [_as_root(command) for command in step.commands]
    for command in commands:
        _say(f"    {shlex.join(command)}")
    if commands[0][0] == "sudo" and shutil.which("sudo") is None:
        _say("  sudo is not installed: run this as root, without sudo")
        return False
    if not (yes or _asked("Run this?")):
        return False
    for command in commands:
        if status := _wait_for(command):
            _say(f"  `{shlex.join(command)}` has failed with status {status}")
            return True
    if step.afterwards:
        _say(f"  then: {step.afterwards}")
    return True


def _as_root(command: tuple[str, ...]) -> tuple[str, ...]:
    return command if os.getuid() == 0 else ("sudo", *command)


def _wait_for(command: Sequence[str]) -> int:
    """Run a program on this terminal, and return its exit status.

    Ctrl+C is sent to all processes of the terminal. A package manager then ends in its own time; a kill would leave
    packages half installed.
    """
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        _say(f"  {command[0]} cannot be run: {error.strerror}")
        return 127
    interrupted = False
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return status


def _provide_image(checks: Iterable[Check], settings: Settings, *, yes: bool) -> bool:
    """Build or download the image after a question unless ``yes``, and return whether that was done."""
    from ccvm_tui.cli.verbs import image
    from ccvm_tui.image import NO_LAYER
    from ccvm_tui.requirements import AGENT

    if _has_image(checks):
        return False
    if obstacle := _image_obstacle(settings, checks):
        _say(f"\n{obstacle}")
        return False
    agent = settings.agent
    if agent != NO_LAYER and AGENT.found() is None:
        _say(f"\nthe image will have no agent: {AGENT.purpose}, and both are missing")
        agent = NO_LAYER
    action = f"download it from {settings.image_url}" if settings.image_url else "build it, from packages of Debian"
    _say(f"\nthere is no guest image yet: {action}")
    _say(f"    {_BUILD}")
    if not (yes or _asked("Run this?")):
        return False
    image.build_image(settings, agent)
    return True


def _has_image(checks: Iterable[Check]) -> bool:
    return all(check.status == "ok" for check in checks if check.name in ("image", "runtime"))


def _image_obstacle(settings: Settings, checks: Iterable[Check], installed: Iterable[Sequence[str]] = ()) -> str:
    """Return why the image cannot be built, or nothing. The packages of ``installed`` commands count as installed."""
    from ccvm_tui.machine.image_checks import USER_NAMESPACES
    from ccvm_tui.requirements import BUILD, LAYER, how_to_install, package_manager

    if os.getuid() == 0 and os.environ.get("CCVM_ALLOW_ROOT") != "1":
        return "the image belongs to the user who runs guests: run `ccvm-tui setup` again as that user"
    manager = package_manager()
    coming = {word for command in installed for word in command}
    missing = [
        item
        for item in (LAYER if settings.image_url else BUILD)
        if item.found() is None and (manager is None or item.packages.get(manager.name) not in coming)
    ]
    if not missing:
        failed = next((check for check in checks if check.status == "fail" and check.name == USER_NAMESPACES), None)
        if failed is None or failed.remedy is not None:
            return ""
        return f"the guest image cannot be built: {USER_NAMESPACES} are {failed.detail}\n  → {failed.fix}"
    names = " and ".join(item.name for item in missing)
    return f"the guest image cannot be built without {names}\n  → {how_to_install(*missing)}"


def _asked(question: str) -> bool:
    """Ask, with yes as the default. Raises UserError without a terminal."""
    from ccvm_tui.cli import question as questions
    from ccvm_tui.errors import UserError

    if not questions.can_ask():
        raise UserError(
            "setup asks before it changes anything, and there is no terminal to ask on",
            "`ccvm-tui setup --yes` does not ask, and `ccvm-tui setup --dry-run` prints the commands",
        )
    return questions.confirmed(question, default=True)


def _report(checks: Sequence[Check]) -> int:
    problems = [check for check in checks if check.status != "ok"]
    able = all(check.status != "fail" for check in checks)
    if problems:
        _say("\nwhat is left:")
        _show(problems)
    _say("\nThis machine can run guests." if able else "\nThis machine cannot run guests yet.")
    return 0 if able else 1


def _show(checks: Iterable[Check]) -> None:
    from ccvm_tui.cli.verbs import doctor

    for line in doctor.lines(list(checks)):
        _say(line)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
