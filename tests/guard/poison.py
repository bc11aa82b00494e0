"""Entries of a Git configuration that run a program, leave the repository, or send something elsewhere."""

from __future__ import annotations

PROGRAM = "/tmp/marker"

_KEYS = """
core.fsmonitor core.hooksPath core.sshCommand core.pager core.editor core.askPass core.gitProxy
core.alternateRefsCommand core.attributesFile core.excludesFile core.worktree sequence.editor diff.external
diff.X.command diff.X.textconv merge.X.driver filter.X.clean filter.X.smudge filter.X.process difftool.X.cmd
difftool.X.path mergetool.X.cmd mergetool.X.path guitool.X.cmd browser.X.cmd browser.X.path man.X.cmd
man.X.path web.browser pager.log interactive.diffFilter alias.st credential.helper
credential.https://example.org.helper include.path includeIf.gitdir:/.path gpg.program gpg.X.program
gpg.ssh.program gpg.ssh.defaultKeyCommand uploadpack.packObjectsHook remote.X.uploadpack remote.X.receivepack
remote.X.vcs remote.X.proxy trailer.X.command trailer.X.cmd sendemail.smtpServer sendemail.toCmd
sendemail.ccCmd sendemail.headerCmd init.templateDir protocol.ext.allow protocol.allow
url.https://evil.invalid/.insteadOf url.https://evil.invalid/.pushInsteadOf submodule.X.command http.proxy
http.sslCAInfo http.sslVerify http.cookieFile http.extraHeader http.curloptResolve instaweb.httpd imap.tunnel
commit.template merge.tool diff.tool gc.recentObjectsHook lfs.customtransfer.X.path lfs.url
lfs.extension.X.clean core.notAKey unknown.key rebase.instructionFormat2 fsmonitor.socketDir maintenance.repo
bisect.X safe.directory blame.ignoreRevsFile notes.rewriteRef receive.procReceiveRefs branch.main.mergeOptions
submodule.X.update extensions.refStorage pull.twohead pull.octopus merge.guitool tar.X.command
svn.pathnameencoding
"""

HARMFUL: tuple[tuple[str, str], ...] = (
    *((key, PROGRAM) for key in _KEYS.split()),
    ("core.fsmonitor", "true"),
    ("submodule.X.update", "!/tmp/marker"),
    ("remote.origin.url", "ext::sh -c /tmp/marker"),
    ("remote.origin.url", "ssh://-oProxyCommand=/tmp/marker/x"),
    ("remote.origin.url", "ssh://x@-oProxyCommand=/tmp/marker/x"),
    ("remote.origin.url", "-x"),
    ("remote.origin.url", "x@-oProxyCommand=y:z"),
    ("remote.origin.pushurl", "fd::17"),
    ("remote.origin.url", "evil://host/x"),
    ("branch.main.remote", "ext::sh -c /tmp/marker"),
    ("commit.gpgSign", "true"),
    ("core.worktree", "../../.."),
    ("extensions.partialClone", "ext::sh"),
)
"""Pairs of a key and a value. ``core.worktree`` is harmless only in a submodule."""


def config(key: str, value: str) -> bytes:
    """Return a configuration file with one entry."""
    section, _, rest = key.partition(".")
    subsection, dot, name = rest.rpartition(".")
    head = f'[{section} "{subsection}"]' if dot else f"[{section}]"
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{head}\n\t{name} = "{quoted}"\n'.encode()
