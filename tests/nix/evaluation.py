"""Evaluation of the flake with stubs of its inputs.

Nix evaluates without a store, a daemon and network. With the variable ``CCVM_NIXPKGS_LIB``, the path of the directory
``lib`` of a checkout of nixpkgs, the functions of nixpkgs replace their stubs.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STUB = Path(__file__).with_name("stub") / "flake.nix"
LISTED = Path(__file__).with_name("nixpkgs-attributes.toml")
SOURCES = sorted([ROOT / "flake.nix", *(ROOT / "nix").rglob("*.nix")])
STUB_SOURCES = sorted(STUB.parent.glob("*.nix"))


LIB = os.environ.get("CCVM_NIXPKGS_LIB")

# no builds during the evaluation, and no access to files outside the project
_RESTRICTIONS = ["--option", "allow-import-from-derivation", "false", "--option", "restrict-eval", "true"]
_RESTRICTIONS += [argument for path in (ROOT, LIB) if path for argument in ("-I", f"allowed={path}")]

_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "$": "\\$", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class EvaluationError(Exception):
    """Nix reports an error."""


def evaluate(expression: str) -> Any:
    """Return the value of an expression, in which ``f`` is the value of stub/flake.nix.

    Raises EvaluationError with the output of Nix if the evaluation fails.
    """
    stub = f"import {STUB} {{ root = {ROOT}; realLib = {LIB or 'null'}; }}"
    return _nix(*_RESTRICTIONS, "--eval", "--strict", "--json", "--expr", f"let f = {stub}; in {expression}")


def parse(source: Path) -> None:
    """Parse a file. Raises EvaluationError if it is malformed."""
    _nix("--parse", str(source), output=False)


def _nix(*arguments: str, output: bool = True) -> Any:
    argv = ["nix-instantiate", "--store", "dummy://", *arguments]
    environment = os.environ | {"NIX_CONFIG": "build-users-group ="}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=60)
    if done.returncode:
        raise EvaluationError(done.stderr)
    return json.loads(done.stdout) if output else None


def quote(value: object) -> str:
    """Return a Nix expression for a value of JSON."""
    match value:
        case None | bool() | int():
            return f"({json.dumps(value)})"
        case str():
            return '"' + value.translate(_ESCAPES) + '"'
        case list() | tuple():
            return "[ " + " ".join(quote(item) for item in value) + " ]"
        case dict():
            return "{ " + " ".join(f"{quote(key)} = {quote(item)};" for key, item in value.items()) + " }"
    raise TypeError(value)
