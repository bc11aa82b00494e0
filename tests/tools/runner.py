"""A small runner for workflows: it executes the ``run`` steps of all jobs, in order, as a runner of GitHub would.

A job gets a clone of the remote repository and its own temporary directory. The steps run with bash, ``GITHUB_OUTPUT``,
``GITHUB_ENV`` and ``GITHUB_STEP_SUMMARY``. Actions are functions that the caller supplies by their names.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.tools.expressions import evaluate, shown, substitute


@dataclass
class Job:
    """A job that runs: its checkout, its temporary directory, and the outputs of its steps."""

    workspace: Path
    temp: Path
    environment: dict[str, str]
    steps: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)


Action = Callable[[Job, Mapping[str, str]], Mapping[str, str]]


@dataclass
class Result:
    """The result of a run: the jobs that ran, whether all succeeded, what they printed, and their summaries."""

    jobs: list[str] = field(default_factory=list)
    success: bool = True
    output: str = ""
    summary: str = ""


class Workflow:
    """A workflow, read from its file."""

    def __init__(self, path: Path, actions: Mapping[str, Action]) -> None:
        self._table: dict[str, Any] = yaml.safe_load(path.read_text())
        self._actions = actions

    def run(
        self, directory: Path, environment: Mapping[str, str], contexts: Mapping[str, Any], only: str = ""
    ) -> Result:
        """Run all jobs below ``directory``, which must not exist, and return the result.

        If ``only`` is the name of a job, it is the only one that runs, as if those that it needs had succeeded.
        """
        result = Result()
        needs: dict[str, Any] = {}
        for name, table in self._table["jobs"].items():
            required = table.get("needs", [])
            required = [required] if isinstance(required, str) else required
            if only and name != only:
                continue
            if not only and any(needs[other]["result"] != "success" for other in required):
                needs[name] = {"result": "skipped"}
                continue
            job = Job(directory / name / "checkout", directory / name / "temp", dict(environment))
            known = {**contexts, "needs": needs, "steps": job.steps, "runner": {"temp": str(job.temp)}}
            if not evaluate(str(table.get("if", "true")), known):
                needs[name] = {"result": "skipped"}
                continue
            job.workspace.mkdir(parents=True)
            job.temp.mkdir()
            result.jobs.append(name)
            passed = all(self._step(step, job, known, result) for step in table["steps"])
            outputs = {key: substitute(value, known) for key, value in table.get("outputs", {}).items()}
            needs[name] = {"result": "success" if passed else "failure", "outputs": outputs}
            result.success &= passed
        return result

    def _step(self, step: Mapping[str, Any], job: Job, contexts: Mapping[str, Any], result: Result) -> bool:
        if not evaluate(str(step.get("if", "true")), contexts):
            return True
        if "uses" in step:
            given = {key: substitute(shown(value), contexts) for key, value in step.get("with", {}).items()}
            outputs = dict(self._actions[step["uses"].partition("@")[0]](job, given))
        else:
            environment = {key: substitute(shown(value), contexts) for key, value in step.get("env", {}).items()}
            done, outputs = self._execute(step["run"], job, environment, result)
            if done != 0:
                return False
        if "id" in step:
            job.steps[step["id"]] = {"outputs": outputs}
        return True

    def _execute(
        self, script: str, job: Job, environment: Mapping[str, str], result: Result
    ) -> tuple[int, dict[str, str]]:
        assert self._table["defaults"]["run"]["shell"].split()[0] == "bash"
        assert "${{" not in script
        files = {key: job.temp / f"_{key}" for key in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        known = {**job.environment, **{key: str(file) for key, file in files.items()}, "RUNNER_TEMP": str(job.temp)}
        program = job.temp / "_step.sh"
        program.write_text(script)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(program)],
            cwd=job.workspace,
            env={**known, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        result.output += done.stdout
        result.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        job.environment.update(_pairs(files["GITHUB_ENV"]))
        return done.returncode, _pairs(files["GITHUB_OUTPUT"])


def _pairs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def path_with(*directories: Path) -> str:
    """Return a PATH that starts with these directories."""
    return os.pathsep.join([*map(str, directories), os.environ["PATH"]])
