"""Recipes, which describe the content of guest images. They are TOML files; unknown keys are errors."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ccvm_tui.agents import AGENTS
from ccvm_tui.errors import ImageError

DEFAULT = Path(__file__).with_name("default.toml")
"""The default recipe."""

NO_LAYER = "none"
"""The layer name that selects an image without an agent. No layer can have this name."""

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MIRROR = re.compile(r"[a-z+]+:/{0,3}[^\s\[\]]+")


@dataclass(frozen=True)
class LayerRecipe:
    """An agent: the executable ``program`` on the host's PATH, or else the file ``binary`` of the package ``npm``.

    ``version`` is appended to the package's newest version. ``runtime`` is an npm package with the interpreter
    ``bin/node`` that runs ``binary``. In ``npm``, ``version`` and ``runtime``, ``{arch}`` is npm's name of the
    architecture; in ``binary``, ``{machine}`` is that of ``uname``.
    """

    name: str
    program: str
    npm: str
    binary: str
    version: str = ""
    runtime: str = ""


@dataclass(frozen=True)
class ExtraFile:
    """An additional file of the image, owned by root."""

    path: str
    data: bytes
    mode: int


@dataclass(frozen=True)
class Recipe:
    """The description of a guest image. If ``mirror`` is empty, the mirrors of this machine's apt are used."""

    name: str
    suite: str
    components: tuple[str, ...]
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    layers: tuple[LayerRecipe, ...]
    files: tuple[ExtraFile, ...]
    mirror: str = ""

    def layer(self, name: str) -> LayerRecipe:
        """Return the layer ``name`` of this recipe or of the table of agents. Raises ImageError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        if name in AGENTS:
            return LayerRecipe(name, **asdict(AGENTS[name].layer))
        known = ", ".join([*AGENTS, *(layer.name for layer in self.layers if layer.name not in AGENTS), NO_LAYER])
        raise ImageError(f"the recipe {self.name} has no agent layer {name!r}", f"there are: {known}")


def load_recipe(path: Path | None = None) -> Recipe:
    """Read the recipe in ``path``, or the default recipe.

    Raises ImageError, which names the file and the error in it, if the recipe is not valid.
    """
    source = DEFAULT if path is None else path
    try:
        table = tomllib.loads(source.read_text())
    except OSError as error:
        raise ImageError(f"cannot read the recipe {source}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImageError(f"{source}: {error}", "a recipe is a TOML file") from error
    return _Reader(source).recipe(table)


class _Reader:
    def __init__(self, source: Path) -> None:
        self._source = source

    def recipe(self, table: Mapping[str, Any]) -> Recipe:
        known = ("suite", "components", "packages", "modules", "layers", "files", "mirror")
        self._reject_unknown_keys(table, known, "")
        if "suite" not in table:
            raise self._error("the recipe has no Debian suite", 'add suite = "stable"')
        layers = self._table(table.get("layers", {}), "layers")
        files = self._table(table.get("files", {}), "files")
        return Recipe(
            name=self._source.stem,
            suite=self._name(table["suite"], "suite", _NAME),
            components=self._names(table.get("components", ["main"]), "components", _NAME),
            packages=self._names(table.get("packages", []), "packages", _PACKAGE),
            modules=self._names(table.get("modules", []), "modules", _NAME),
            layers=tuple(self._layer(name, value) for name, value in layers.items()),
            files=tuple(self._file(path, value) for path, value in sorted(files.items())),
            mirror=self._name(table["mirror"], "mirror", _MIRROR) if "mirror" in table else "",
        )

    def _layer(self, name: str, value: object) -> LayerRecipe:
        key = f"layers.{name}"
        if name == NO_LAYER or not _NAME.fullmatch(name):
            raise self._error(f"{key}: not a valid name for a layer")
        table = self._table(value, key)
        self._reject_unknown_keys(table, ("program", "npm", "binary", "version", "runtime"), f"{key}.")
        program = self._text(table.get("program", ""), f"{key}.program")
        npm = self._text(table.get("npm", ""), f"{key}.npm")
        if not program and not npm:
            raise self._error(f"{key} has neither `program` nor `npm`")
        binary = self._text(table.get("binary", name), f"{key}.binary")
        version = self._text(table.get("version", ""), f"{key}.version")
        runtime = self._text(table.get("runtime", ""), f"{key}.runtime")
        return LayerRecipe(name, program, npm, binary, version, runtime)

    def _file(self, path: str, value: object) -> ExtraFile:
        key = f'files."{path}"'
        if not path.startswith("/") or path != str(PurePosixPath(path)) or ".." in PurePosixPath(path).parts:
            raise self._error(f"{key}: not a normalized absolute path")
        table = self._table(value, key)
        self._reject_unknown_keys(table, ("source", "text", "mode"), f"{key}.")
        if ("source" in table) == ("text" in table):
            raise self._error(f"{key} needs exactly one of `source` and `text`")
        mode = table.get("mode", 0o644)
        if type(mode) is not int or not 0 <= mode <= 0o7777:
            raise self._error(f"{key}.mode: not a file mode; write it as 0o755")
        return ExtraFile(path, self._content(table, key), mode)

    def _content(self, table: Mapping[str, Any], key: str) -> bytes:
        if "text" in table:
            return self._text(table["text"], f"{key}.text").encode()
        source = self._source.parent / self._text(table["source"], f"{key}.source")
        try:
            return source.read_bytes()
        except OSError as error:
            raise self._error(f"{key}: cannot read {source}: {error.strerror}") from error

    def _reject_unknown_keys(self, table: Mapping[str, Any], known: Iterable[str], prefix: str) -> None:
        names = list(known)
        for key in table:
            if key not in names:
                near = difflib.get_close_matches(key, names, n=1)
                hint = f"did you mean `{prefix}{near[0]}`?" if near else f"known keys: {', '.join(names)}"
                raise self._error(f"unknown key `{prefix}{key}`", hint)

    def _table(self, value: object, key: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._error(f"{key} must be a table")
        return value

    def _text(self, value: object, key: str) -> str:
        if not isinstance(value, str):
            raise self._error(f"{key} must be a string")
        return value

    def _name(self, value: object, key: str, shape: re.Pattern[str]) -> str:
        text = self._text(value, key)
        if not shape.fullmatch(text):
            raise self._error(f"{key}: {text!r} is not a valid name")
        return text

    def _names(self, value: object, key: str, shape: re.Pattern[str]) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self._error(f"{key} must be a list of strings")
        return tuple(dict.fromkeys(self._name(item, key, shape) for item in value))

    def _error(self, message: str, hint: str = "") -> ImageError:
        return ImageError(f"{self._source}: {message}", hint)
