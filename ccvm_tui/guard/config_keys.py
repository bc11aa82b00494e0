"""The entries of a repository's configuration that are harmless, as data.

The list names what may pass. Git has some 800 keys, dozens of which name a program, a file or another configuration,
and each version adds some. A key that is not in the list is therefore a problem, even if it is unknown to Git. What
``git clone``, ``branch``, ``remote``, ``submodule``, ``worktree``, ``sparse-checkout`` and ``init`` write is in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ccvm_tui.guard.config_file import Entry

_Check = Callable[[bytes | None], bool]

_FALSE: Final = frozenset({b"false", b"no", b"off", b"0", b""})
_SCHEMES: Final = frozenset({b"https", b"http", b"ssh", b"git", b"file", b"git+ssh", b"ssh+git", b"ftp", b"ftps"})


def _any(_: bytes | None) -> bool:
    return True


def _false(value: bytes | None) -> bool:
    return value is not None and value.lower() in _FALSE


def _one_of(*values: bytes) -> _Check:
    return lambda value: value is not None and value.lower() in values


def url(value: bytes | None) -> bool:
    """Return whether ``value`` is a URL or a path from which Git fetches without another program of the user's.

    ``NAME::ADDRESS`` and ``NAME://ADDRESS`` run ``git-remote-NAME``, of which ``ext`` runs any command. A host name
    that begins with a hyphen is an option for ssh.
    """
    if value is None:
        return False
    if re.match(rb"[\w+.-]+::", value) or value.startswith(b"-"):
        return False
    scheme = re.match(rb"([\w+.-]+)://", value)
    if scheme is None:
        return not value.partition(b"@")[2].startswith(b"-")
    host = value[scheme.end() :]
    return scheme[1].lower() in _SCHEMES and not host.startswith(b"-") and b"@-" not in host.partition(b"/")[0]


_GROUPS: Final[tuple[tuple[_Check, str], ...]] = (
    (
        _any,
        """
        core.repositoryformatversion core.filemode core.bare core.logallrefupdates core.ignorecase core.symlinks
        core.precomposeunicode core.autocrlf core.eol core.safecrlf core.sparsecheckout core.sparsecheckoutcone
        core.untrackedcache core.preloadindex core.commitgraph core.multipackindex core.compression core.splitindex
        core.loosecompression core.bigfilethreshold core.abbrev core.quotepath core.trustctime core.checkstat
        core.whitespace core.commentchar core.warnambiguousrefs core.longpaths core.fscache
        core.hidedotfiles core.fsync core.fsyncmethod core.fsyncobjectfiles core.packedgitlimit core.maxtreedepth
        core.packedgitwindowsize core.deltabasecachelimit core.notesref core.usereplacerefs
        core.lockfilepid
        core.sparsecheckoutexpectfilesoutsideofpatterns core.filesreflocktimeout core.packedrefstimeout
        core.protecthfs core.protectntfs core.prefersymlinkrefs

        extensions.objectformat extensions.compatobjectformat extensions.worktreeconfig extensions.noop
        extensions.noop-v1 extensions.preciousobjects extensions.relativeworktrees

        user.name user.email user.useconfigonly author.name author.email committer.name committer.email

        remote.*.fetch remote.*.push remote.*.tagopt remote.*.mirror remote.*.prune remote.*.prunetags
        remote.*.skipdefaultupdate remote.*.skipfetchall remote.*.promisor remote.*.partialclonefilter
        remote.*.gh-resolved remote.*.glab-resolved remote.*.followremotehead remotes.*

        branch.*.merge branch.*.rebase branch.*.description branch.*.base branch.*.parent
        branch.*.github-pr-owner-number branch.*.github-pr-base-branch branch.*.gh-merge-base
        branch.*.vscode-merge-base branch.*.gk-merge-base branch.*.gk-merge-target branch.*.gk-last-accessed
        branch.*.gk-last-modified branch.*.gk-associated-issues
        branch.sort branch.autosetupmerge branch.autosetuprebase

        submodule.*.active submodule.*.branch submodule.*.fetchrecursesubmodules submodule.*.ignore
        submodule.*.path submodule.*.shallow submodule.active submodule.recurse submodule.propagatebranches
        submodule.fetchjobs submodule.alternatelocation submodule.alternateerrorstrategy

        pull.rebase pull.ff push.default push.autosetupremote push.followtags push.recursesubmodules
        push.useforceifincludes fetch.prune fetch.prunetags fetch.parallel fetch.recursesubmodules fetch.output
        fetch.writecommitgraph fetch.fsckobjects transfer.fsckobjects receive.fsckobjects fetch.showforcedupdates
        fetch.unpacklimit fetch.negotiationalgorithm receive.denycurrentbranch receive.denynonfastforwards
        receive.denydeletes merge.ff merge.conflictstyle merge.renames
        merge.renamelimit merge.directoryrenames merge.log merge.stat merge.autostash
        rebase.autostash rebase.autosquash rebase.updaterefs rebase.stat rebase.missingcommitscheck
        rebase.rebasemerges rebase.reschedulefailedexec rerere.enabled rerere.autoupdate
        commit.verbose commit.status commit.cleanup init.defaultbranch checkout.defaultremote checkout.guess
        checkout.workers worktree.guessremote worktree.userelativepaths clone.defaultremotename

        diff.renames diff.renamelimit diff.algorithm diff.colormoved diff.colormovedws diff.context
        diff.mnemonicprefix diff.noprefix diff.indentheuristic diff.interhunkcontext diff.submodule
        diff.ignoresubmodules diff.statgraphwidth diff.suppressblankempty diff.wserrorhighlight
        diff.relative diff.autorefreshindex diff.*.binary diff.*.xfuncname diff.*.funcname diff.*.wordregex
        diff.*.cachetextconv merge.*.name
        log.date log.decorate log.abbrevcommit log.follow log.showroot log.graphcolors status.short status.branch
        status.showuntrackedfiles status.submodulesummary status.showstash status.relativepaths status.aheadbehind
        status.renames tag.sort versionsort.suffix grep.linenumber grep.patterntype grep.extendedregexp
        blame.date blame.coloring advice.* color.* color.*.* column.* i18n.commitencoding i18n.logoutputencoding

        gc.auto gc.autodetach gc.autopacklimit gc.packrefs gc.pruneexpire gc.worktreepruneexpire
        gc.reflogexpire gc.reflogexpireunreachable gc.rerereresolved gc.rerereunresolved gc.aggressivedepth
        gc.aggressivewindow gc.writecommitgraph gc.cruftpacks gc.bigpackthreshold gc.logexpiry
        maintenance.auto maintenance.strategy maintenance.autodetach
        maintenance.*.enabled maintenance.*.schedule
        pack.threads pack.window pack.depth pack.windowmemory pack.compression pack.deltacachesize
        pack.deltacachelimit pack.packsizelimit pack.usebitmaps pack.writebitmaphashcache pack.usesparse
        repack.writebitmaps repack.usedeltabaseoffset repack.usedeltaislands
        index.version index.threads index.sparse index.recordendofindexentries index.recordoffsettable
        index.skiphash feature.manyfiles feature.experimental
        http.postbuffer http.version http.lowspeedlimit http.lowspeedtime http.maxrequests
        lfs.repositoryformatversion lfs.locksverify lfs.*.locksverify lfs.*.access lfs.fetchinclude lfs.fetchexclude
        """,
    ),
    (
        _false,
        "core.fsmonitor commit.gpgsign tag.gpgsign push.gpgsign tag.forcesignannotated log.showsignature "
        "merge.verifysignatures",
    ),
    (url, "remote.*.url remote.*.pushurl submodule.*.url"),
    # Git takes the name of a remote that is not configured to be a URL
    (url, "branch.*.remote branch.*.pushremote remote.pushdefault extensions.partialclone"),
    (_one_of(b"checkout", b"rebase", b"merge", b"none"), "submodule.*.update"),
    (_one_of(b"umask", b"group", b"false", b"true", b"0", b"1"), "core.sharedrepository"),
    (_one_of(b"files", b"reftable"), "extensions.refstorage"),
)
"""The keys, without subsections, and the values with which they are harmless. ``*`` is any subsection, or any name."""

_HARMLESS: Final[dict[str, _Check]] = {pattern: check for check, patterns in _GROUPS for pattern in patterns.split()}

WORKTREE: Final = b"core.worktree"
"""The key whose value depends on the place of the file; see ``checks``."""


def _patterns(key: bytes) -> Iterator[str]:
    section, _, rest = key.decode("utf-8", "replace").partition(".")
    subsection, dot, name = rest.rpartition(".")
    if dot:
        yield f"{section}.*.{name}"
        yield f"{section}.*.*"
    elif not subsection:
        yield f"{section}.{name}"
        yield f"{section}.*"


def is_harmless(entry: Entry) -> bool:
    """Return whether Git starts no program and leaves the repository for no other because of ``entry``."""
    if any(pattern in _HARMLESS and _HARMLESS[pattern](entry.value) for pattern in _patterns(entry.key)):
        return True
    return entry.unfinished and _is_beginning(entry.key)


def _is_beginning(key: bytes) -> bool:
    """Return whether ``key`` is the beginning of a harmless one, as it is while a file is being written."""
    beginnings = tuple(_patterns(key))[:1]
    return any(pattern.startswith(beginning) for beginning in beginnings for pattern in _HARMLESS)


def harmful(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that are not known to be harmless."""
    return [entry for entry in entries if not is_harmless(entry)]
