"""The manual pages: man(7) source for each verb, the two programs, and the configuration file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from ccvm_tui import __version__
from ccvm_tui.cli import ccvm, parser
from ccvm_tui.config import SCHEMA
from reference.commands import STATUSES, Command, commands
from reference.pages import meaning

_PARAGRAPH = ".P\n"
_VARIABLES = {
    "CCVM_ALLOW_ROOT=1": "allow starting guests as root, which is refused otherwise",
    "CCVM_SHELL=1": "`ccvm` opens a shell, as with `--shell`",
    "CCVM_DEBUG=1": "`ccvm` shows the console, as with `--ccvm-debug`; keepers log more",
    "XDG_CONFIG_HOME, XDG_CACHE_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR": (
        "directories of the configuration, images, history and running guests"
    ),
}
_FILES = {
    "$XDG_CONFIG_HOME/ccvm/config.toml": "the settings; see ccvm-tui.toml(5)",
    "$XDG_CACHE_HOME/ccvm": "images and runtimes; may be deleted while no guest is running",
    "$XDG_STATE_HOME/ccvm": "known projects, answers of the welcome tour, records of ended guests, crash reports",
    "$XDG_RUNTIME_DIR/ccvm": "sockets, locks and logs of running guests",
}
_PRECEDENCE = (
    "The first of these sources that contains a setting determines its value: a flag of the command, a variable, the "
    'project\'s section (`[project."/path"]`), the rest of the file, the default. `ccvm-tui config` prints the values '
    "in effect and the source of each."
)


def pages() -> dict[str, str]:
    """Return the source of all manual pages by their path below ``share/man``."""
    found = {"man1/ccvm-tui.1": _program(), "man1/ccvm.1": _ccvm(), "man5/ccvm-tui.toml.5": _configuration()}
    everything = commands()
    for verb, about in parser.VERBS.items():
        own = [command for command in everything if command.verb == verb]
        found[f"man1/{parser.PROGRAM}-{verb}.1"] = _verb(f"{parser.PROGRAM}-{verb}", about, own)
    return found


def _program() -> str:
    verbs = ((f"{parser.PROGRAM}-{verb}(1)", about) for verb, about in parser.VERBS.items())
    return _page(
        parser.PROGRAM,
        1,
        "a disposable virtual machine for every project",
        _section("Synopsis", _command_line(f"{parser.PROGRAM} [{parser.TOUR}]"),
                 _command_line(f"{parser.PROGRAM} VERB [ARGUMENT…]")),
        _section(
            "Description",
            _text("Runs a coding agent, or any program, in a virtual machine that sees the project's directory and no "
                  "other files of the host. Without a verb, the dashboard opens, which shows and controls all of them, "
                  f"at its first start or with `{parser.TOUR}` with a tour from the prerequisites to the first guest. "
                  "`ccvm-tui VERB --help` describes a verb."),
        ),
        _section("Verbs", _list(verbs)),
        _section("Exit status", _list(STATUSES.items()),
                 _text("`run`, `attach` and `exec` return the program's own status when it ends.")),
        _section("Environment", _text("Settings have variables, which ccvm-tui.toml(5) lists. There are also:"),
                 _list(_VARIABLES.items())),
        _section("Files", _list(_FILES.items())),
        _section("See also", _text("ccvm(1), ccvm-tui.toml(5), qemu(1)")),
    )  # fmt: skip


def _verb(name: str, about: str, own: list[Command]) -> str:
    synopsis = "".join(_command_line(" ".join(command.usage)) for command in own)
    return _page(
        name,
        1,
        about,
        _section("Synopsis", synopsis),
        *(_section("Options" if command.name == command.verb else command.name, *_described(command))
          for command in own if command.name != command.verb or command.arguments or command.options),
        _section("See also", _text("ccvm-tui(1), ccvm-tui.toml(5)")),
    )  # fmt: skip


def _described(command: Command) -> list[str]:
    about = f"{command.about[0].upper()}{command.about[1:]}."
    return [
        _text(about) if command.name != command.verb else "",
        _list((option.spelling, option.about) for option in (*command.arguments, *command.options)),
        _text(command.note) if command.note else "",
    ]


def _ccvm() -> str:
    return _page(
        "ccvm",
        1,
        "run the agent in a disposable virtual machine for this directory",
        _section("Synopsis", _command_line("ccvm [FLAG…] [AGENT-ARGUMENT…]")),
        _section("Description", _text(" ".join(ccvm.ABOUT.split()))),
        _section(
            "Options",
            _text("The flags may be in any position. All other arguments are passed to the agent unchanged."),
            _list(ccvm.FLAGS.items()),
        ),
        _section("Exit status", _text("That of the agent, or one of those of ccvm-tui(1).")),
        _section("See also", _text("ccvm-tui(1), ccvm-tui.toml(5)")),
    )


def _configuration() -> str:
    settings = (
        (
            f"{row.name} = {json.dumps(row.default, ensure_ascii=False)}",
            meaning(row) + (f"; variable {row.variable}" if row.variable else ""),
        )
        for row in SCHEMA.values()
    )
    return _page(
        "ccvm-tui.toml",
        5,
        "settings of ccvm-tui",
        _section("Synopsis", _text("$XDG_CONFIG_HOME/ccvm/config.toml (usually ~/.config/ccvm/config.toml)")),
        _section("Description", _text("All settings have defaults, so no file is required."), _text(_PRECEDENCE)),
        _section("Settings", _text("Each with its default:"), _list(settings)),
        _section("See also", _text("ccvm-tui(1), ccvm-tui-config(1)")),
    )


def _page(name: str, section: int, about: str, *sections: str) -> str:
    title = f'.TH "{_escaped(name.upper())}" "{section}" "" "ccvm-tui {__version__}" "ccvm-tui"\n'
    return title + _section("Name", f"{_escaped(name)} \\- {_escaped(about)}\n") + "".join(sections)


def _section(title: str, *content: str) -> str:
    return f'.SH "{_escaped(title.upper())}"\n{"".join(content).removeprefix(_PARAGRAPH)}'


def _command_line(text: str) -> str:
    """Return a usage. Spaces inside its brackets do not become line breaks."""
    joined = re.sub(r"\[[^\[\]]*\]", lambda part: part[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    return f"{_PARAGRAPH}.nh\n.ad l\n{_escaped(joined)}\n.ad\n.hy\n"


def _text(text: str) -> str:
    return f"{_PARAGRAPH}{_inline(text)}\n"


def _list(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f".TP\n\\fB{_escaped(term)}\\fR\n{_inline(about)}\n" for term, about in rows)


def _inline(text: str) -> str:
    """Return text with what is in backticks set in bold."""
    return re.sub(r"`(.*?)`", r"\\fB\1\\fR", _escaped(text))


def _escaped(text: str) -> str:
    r"""Return text without characters that are special to roff: ``\``, ``-`` and a period or quote at the start."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("\N{NO-BREAK SPACE}", "\\ ")
    escaped = escaped.replace('"', "\\(dq").replace("'", "\\(aq")
    escaped = escaped.replace("^", "\\(ha").replace("~", "\\(ti")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
