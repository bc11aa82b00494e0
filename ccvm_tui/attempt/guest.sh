# The guest's half of an attempt. The host sends this text with each command:
#
#     sh -c TEXT attempt OPERATION PROJECT CLONE ARGUMENT…
#
# PROJECT is the host's checkout, which is read-only, and CLONE the directory of the clone. The settings of the project's
# repository apply here as they do on the host, since everything that they run stays in the guest. Each program costs a
# third of a second in an emulated guest, so there are few.
set -eu
export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0 GIT_LFS_SKIP_SMUDGE=1
operation=$1 project=$2 clone=$3
shift 3
cd "$clone"

# Create the clone: start BRANCH COMMIT. It borrows the project's objects, so that it takes neither time nor memory.
start() {
    branch=$1 commit=$2 theirs=$project/.git
    command -v git >/dev/null || { echo "Git is not installed in the guest" >&2 && exit 1; }
    [ ! -e .git ] || { echo "$clone is not empty" >&2 && exit 1; }
    mkdir -p .git/objects/info .git/objects/pack .git/refs/heads .git/hooks .git/info
    printf '%s/objects\n' "$theirs" >.git/objects/info/alternates
    printf 'ref: refs/heads/%s\n' "$branch" >.git/HEAD
    printf '%s\n' "$commit" >".git/refs/heads/$branch"
    {
        [ ! -f "$theirs/config" ] || sed '/^[[:space:]]*worktree[[:space:]]*=/d' "$theirs/config"
        printf '[core]\n\tbare = false\n\tfsmonitor = false\n'
        printf '[remote "host"]\n\turl = "%s"\n\tfetch = +refs/heads/*:refs/remotes/host/*\n' "$project"
        if uses_lfs; then printf '[filter "lfs"]\n\tclean =\n\tsmudge =\n\tprocess =\n\trequired = false\n'; fi
    } >.git/config
    from_theirs .git/ config.worktree shallow
    from_theirs .git/info/ info/exclude info/attributes info/sparse-checkout
    hooks=
    for hook in "$theirs"/hooks/*; do
        case $hook in
        *.sample) ;;
        *) [ ! -f "$hook" ] || hooks="$hooks hooks/${hook##*/}" ;;
        esac
    done
    # shellcheck disable=SC2086 # Git's own names
    from_theirs .git/hooks/ $hooks
    git --git-dir="$theirs" for-each-ref refs/heads refs/remotes refs/tags \
        --format='%(if)%(symref)%(then)%(else)%(objectname) %(refname)%(end)' |
        sed -e '/^$/d' -e '/ refs\/remotes\/host\//d' -e 's, refs/heads/, refs/remotes/host/,' >.git/packed-refs
    git reset -q --hard
    [ ! -f .gitmodules ] || echo submodules
    if uses_lfs; then echo lfs; fi
}

uses_lfs() {
    [ -f "$project/.gitattributes" ] && grep -q 'filter=lfs' "$project/.gitattributes" && ! command -v git-lfs >/dev/null
}

# Copy those of the files in the project's Git directory that exist: from_theirs DIRECTORY FILE….
from_theirs() {
    directory=$1
    shift
    for file; do
        shift
        [ ! -f "$theirs/$file" ] || set -- "$@" "$theirs/$file"
    done
    [ $# -eq 0 ] || cp "$@" "$directory"
}

# Copy the files whose names are on standard input, each ended by NUL, from the project.
copy() {
    cd "$project"
    xargs -0 cp -dp --parents -t "$clone" --
}

# Remove the files whose names are on standard input.
remove() { xargs -0 rm -f --; }

# Make Git ignore the files whose patterns are on standard input.
exclude() { cat >>.git/info/exclude; }

# Print Git's status, which is also kept in ``printed``, and set ``head`` to the current commit.
state() {
    printed=$(git status --porcelain=v2 --branch --ignore-submodules=dirty)
    printf '%s\n' "$printed"
    head=${printed#*branch.oid }
    head=${head%%
*}
    [ "$head" != "(initial)" ] || head=
}

# Print Git's status, and lines with numbers: status BASE CURRENT HAVE…. The host has these commits; CURRENT is its own.
status() {
    base=$1 current=$2
    state
    printf 'unfetched %s\n' "$(git rev-list --count --ignore-missing --branches ${head:+HEAD} --not "$@" --)"
    [ -z "$head" ] || [ "$head" = "$current" ] ||
        printf 'apart %s\n' "$(git rev-list --left-right --count "$current...HEAD" -- 2>/dev/null | tr '\t' ' ')"
    [ "$head" = "$base" ] ||
        printf 'changed %s\n' "$(git diff --no-ext-diff --ignore-submodules=dirty --name-only "$base" -- | wc -l)"
}

# Print Git's status, the branches and a commit of the files as they are now, then an empty line and a pack with what the
# host lacks: pack HAVE….
pack() {
    state
    branches=$(git for-each-ref --format='ref %(objectname) %(refname)' refs/heads)
    files=$head
    case $printed in
    *'
'[12u?]\ *) files=$(snapshot) ;;
    esac
    printf '%s\nfiles %s\n\n' "$branches" "$files"
    {
        printf '%s\n' "$files"
        printf '%s\n' "$branches" | while read -r _ commit _; do printf '%s\n' "$commit"; done
        printf '%s\n' "$@" | git cat-file --batch-check | while read -r commit kind _; do
            [ "$kind" != commit ] || printf '^%s\n' "$commit"
        done
    } | git pack-objects -q --revs --thin --delta-base-offset --stdout
}

# Print a commit of the files as they are now, which is on no branch.
snapshot() {
    export GIT_INDEX_FILE="$PWD/.git/ccvm-index" GIT_AUTHOR_NAME=ccvm GIT_AUTHOR_EMAIL=ccvm
    export GIT_COMMITTER_NAME=ccvm GIT_COMMITTER_EMAIL=ccvm
    cp .git/index "$GIT_INDEX_FILE" 2>/dev/null || rm -f "$GIT_INDEX_FILE"
    git add -A >/dev/null 2>&1 || :
    git commit-tree ${head:+-p "$head"} -m 'uncommitted changes' "$(git write-tree)"
}

case $operation in
start | copy | remove | exclude | status | pack) "$operation" "$@" ;;
*) echo "unknown operation $operation" >&2 && exit 1 ;;
esac
