#!/bin/sh
# Boot real guests and check every guarantee that can be observed from outside and inside: one line for each, and the
# number of passed and failed checks last. It works with KVM and without, with `ccvm-tui` on the PATH or in a checkout:
#
#     tests/boot.sh
#
# The user's guests, settings and history are not used. The guest image is, and it is built if it is missing.
#
# shellcheck disable=SC2016 # the shell of the guest expands what is in single quotes
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
command -v ccvm-tui >/dev/null || exec "$here/../dev" exec "$here/boot.sh"

root=$(mktemp -d "${TMPDIR:-/tmp}/ccvm-b.XXXXXX") || exit 2
mkdir -m 700 "$root/run" "$root/config" "$root/state" "$root/project" "$root/other" || exit 2
export XDG_RUNTIME_DIR="$root/run" XDG_CONFIG_HOME="$root/config" XDG_STATE_HOME="$root/state"
export CCVM_AGENT=none CCVM_MEMORY=1024 CCVM_CORES=1
secret=sk-ant-boot-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

clean() {
    ccvm-tui stop --all --force >/dev/null 2>&1
    rm -rf "$root"
}
trap clean EXIT
trap 'exit 130' INT TERM HUP

# --- reporting --------------------------------------------------------------------------------------------------------

passed=0
failed=0

check() {  # check TITLE COMMAND…: the command must succeed
    title=$1
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$title"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$title"
        printf '%s\n' "$output" | tail -n 5 | sed 's/^/        /'
    fi
}

same() {  # same EXPECTED COMMAND…: the command's output must be the expected one
    expected=$1
    shift
    found=$("$@") || return
    [ "$found" = "$expected" ] || { printf 'expected: %s\nfound:    %s\n' "$expected" "$found"; return 1; }
}

refused() {  # refused COMMAND…: the command must fail
    if "$@"; then return 1; else return 0; fi
}

# --- guests -----------------------------------------------------------------------------------------------------------

boot() {  # boot DIRECTORY OPTION…: start a guest whose first session has the secret
    directory=$1
    shift
    (cd "$directory" && ANTHROPIC_API_KEY=$secret CCVM_LOGIN=key ccvm-tui run --detach --linger "$@" --shell) || {
        ccvm-tui logs 2>&1 | tail -n 5
        return 1
    }
}

in_guest() {  # in_guest DIRECTORY SCRIPT: run a shell script in the directory's guest
    ccvm-tui exec -n "$1" -- sh -c "$2"
}

field() {  # field DIRECTORY NAME: print a field of the directory's guest in `ls --json`
    ccvm-tui ls --json | python3 -c 'import json, sys
(guest,) = [guest for guest in json.load(sys.stdin)["guests"] if guest["project"] == sys.argv[1]]
print(guest[sys.argv[2]])' "$1" "$2"
}

processes() {  # print the processes of the guests that belong to this test
    for process in /proc/[0-9]*; do
        # a process of another user cannot be read, and one may end meanwhile
        if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qx "XDG_RUNTIME_DIR=$root/run" ||
            tr '\0' '\n' 2>/dev/null <"$process/cmdline" | grep -q "$root"; then
            echo "${process#/proc/}"
        fi
    done
}

# --- checks -----------------------------------------------------------------------------------------------------------

secret_is_in_no_process() {
    for process in /proc/[0-9]*; do
        if grep -qsF "$secret" "$process/cmdline"; then
            tr '\0' ' ' <"$process/cmdline"
            return 1
        fi
    done
    qemu=$(field "$root/project" qemu_pid)
    keeper=$(field "$root/project" keeper_pid)
    refused grep -qsF "$secret" "/proc/$qemu/environ" "/proc/$keeper/environ"
}

no_disk_is_writable() {
    in_guest "$root/project" 'for disk in /sys/block/*; do
        case $disk in */loop* | */ram* | */zram*) continue ;; esac
        [ "$(cat "$disk/ro")" = 1 ] || { echo "$disk is writable"; exit 1; }
    done
    case $(stat -f -c %T /) in overlayfs | tmpfs) ;; *) stat -f /; exit 1 ;; esac'
}

qemu_argument() {
    tr '\0' '\n' <"/proc/$(field "$root/project" qemu_pid)/cmdline" | grep -qxF "$1"
}

qemu_status() {
    same "$2" sed -n "s/^$1:[[:space:]]*//p" "/proc/$(field "$root/project" qemu_pid)/status"
}

host_keys_differ() {
    one=$(in_guest "$root/project" 'sudo cat /run/ccvm/ssh/host_key') && other=$(in_guest "$root/other" 'sudo cat /run/ccvm/ssh/host_key') &&
        [ -n "$one" ] && [ "$one" != "$other" ]
}

only_the_project_is_shared() {
    same 1 in_guest "$root/project" "awk '\$3 == \"virtiofs\" { print \$1 }' /proc/mounts | sort -u | wc -l" &&
        same project in_guest "$root/project" "ls -A '$root'" &&
        in_guest "$root/project" '! [ -e ~/.ssh/id_ed25519 ] && ! [ -e ~/.ssh/id_rsa ] && ! [ -e ~/.aws ]'
}

edits_stay_in_the_guest() {
    in_guest "$root/other" 'echo changed >file && echo new >new && [ "$(cat file new)" = "changed
new" ]' && same original cat "$root/other/file" && [ ! -e "$root/other/new" ]
}

nothing_is_left() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -z "$(processes)" ] && break
        sleep 0.5
    done
    same "" processes && same "" find "$root/run" -mindepth 2 -not -name '*.lock'
}

protection() {  # print the guest's settings that protect it, one in each line, read by one program in the guest
    in_guest "$root/project" '
        for name in kernel/kptr_restrict kernel/dmesg_restrict kernel/unprivileged_bpf_disabled net/core/bpf_jit_harden \
            kernel/kexec_load_disabled; do echo "$name $(sudo cat "/proc/sys/$name")"; done
        echo "root $(sudo sed -n "s/^root:\\(.\\).*/\\1/p" /etc/shadow)"
        sudo /usr/sbin/sshd -T -f /run/ccvm/ssh/config 2>/dev/null | sed "s/^/sshd /"'
}

set_to() {  # set_to REGEX: one of the protecting settings must be as the basic regular expression says
    printf '%s\n' "$settings" | grep -ix "$1" || { printf '%s\n' "$settings" | grep "^${1%% *}"; return 1; }
}

# --- run --------------------------------------------------------------------------------------------------------------

began=$(date +%s)
printf 'original\n' >"$root/other/file"
printf 'from the host\n' >"$root/project/file"
check "the guest image exists, or is built" ccvm-tui image build
check "a guest boots, and its first session is started" boot "$root/project"
check "a second guest boots, with a read-only project" boot "$root/other" --read-only

echo "secrets"
check "the API key reaches the session that was started with it" \
    in_guest "$root/project" "for p in /proc/[0-9]*; do sudo cat \$p/environ 2>/dev/null; done | tr '\\0' '\\n' | grep -qxF 'ANTHROPIC_API_KEY=$secret'"
check "other programs in the guest do not get it" same "" in_guest "$root/project" 'printenv ANTHROPIC_API_KEY; true'
check "the API key is in no argument list, nor in QEMU or the keeper" secret_is_in_no_process
check "the API key is in no file of the program" refused grep -rqsF "$secret" "$root"
check "the API key is not on the kernel command line" in_guest "$root/project" "! grep -F '$secret' /proc/cmdline"
check "each guest has a new SSH host key" host_keys_differ

echo "files"
check "only the project's directory is shared" only_the_project_is_shared
check "the project has the same path as on the host" same "$root/project" in_guest "$root/project" pwd
check "the guest's user has the user and group of the host" same "$(id -u) $(id -g)" in_guest "$root/project" 'echo "$(id -u) $(id -g)"'
check "files of the host are visible in the guest" same "from the host" in_guest "$root/project" 'cat file'
check "files of the guest are visible on the host" in_guest "$root/project" 'echo from the guest >made'
check "they have the right content" same "from the guest" cat "$root/project/made"
check "they belong to the user" same "$(id -u)" stat -c %u "$root/project/made"
check "set-user-ID and device files have no effect in the project" \
    in_guest "$root/project" "grep ' virtiofs ' /proc/mounts | grep nosuid | grep -q nodev"
check "edits in a read-only project stay in the guest" edits_stay_in_the_guest
check "no disk of the guest is writable, and its root is in memory" no_disk_is_writable

echo "isolation"
check "QEMU runs with its system call filter" \
    qemu_argument "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
check "the kernel confirms the filter" qemu_status Seccomp 2
check "QEMU cannot gain privileges" qemu_status NoNewPrivs 1
check "QEMU's environment is empty" same 0 sh -c "wc -c <'/proc/$(field "$root/project" qemu_pid)/environ'"
if unshare -r true 2>/dev/null; then
    check "user ID 0 is refused" refused env -C "$root/project" unshare -r ccvm-tui run --detach --shell
else
    echo "note    user namespaces are not available, so the refusal of user ID 0 was not checked"
fi

echo "hardening"
settings=$(protection)
check "root has no password" set_to 'root [!*]'
check "sshd accepts keys only" set_to "sshd passwordauthentication no"
check "sshd does not accept root" set_to "sshd permitrootlogin no"
check "kernel addresses are hidden" set_to "kernel/kptr_restrict 2"
check "the kernel's log is restricted" set_to "kernel/dmesg_restrict 1"
check "unprivileged BPF is disabled" set_to "kernel/unprivileged_bpf_disabled [12]"
check "the BPF compiler is hardened" set_to "net/core/bpf_jit_harden 2"
check "another kernel cannot be loaded" set_to "kernel/kexec_load_disabled 1"

echo "use"
check "exec passes binary data" same "$(printf 'a\000\377' | od -An -tx1)" \
    sh -c "printf 'a\\000\\377' | ccvm-tui exec '$root/project' -- cat | od -An -tx1"
check "exec returns the program's exit status" same 42 sh -c "ccvm-tui exec -n '$root/project' -- sh -c 'exit 42'; echo \$?"
check "sudo needs no password" same 0 in_guest "$root/project" 'sudo id -u'
check "git works in the project" in_guest "$root/project" \
    'git init -q repository && cd repository && touch a && git add a && git -c user.name=b -c user.email=b@b commit -qm a && git fsck'
check "the terminal is known, and its text is UTF-8" in_guest "$root/project" 'infocmp xterm-256color >/dev/null && locale charmap | grep -qx UTF-8'
check "the clock is right" sh -c "here=\$(date +%s); there=\$(ccvm-tui exec -n '$root/project' -- date +%s); [ \$((here - there)) -le 2 ] && [ \$((there - here)) -le 5 ]"
check "pause and resume" sh -c "cd '$root/project' && ccvm-tui pause . && ccvm-tui resume . && ccvm-tui exec -n . -- true"

echo "end"
check "stop ends both guests" ccvm-tui stop --all --force
check "no process and no file of them is left" nothing_is_left
check "the host's file is unchanged, and the guest's edit is discarded" same original cat "$root/other/file"

printf '%s s\n%s passed, %s failed\n' "$(($(date +%s) - began))" "$passed" "$failed"
[ "$failed" -eq 0 ]
