"""Real SSH clients of the host with a real guest: ssh, scp, sftp, rsync, git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.conftest import RealGuest, ccvm_tui
from tests.waiting import wait_until

Run = Callable[..., str]


@pytest.fixture
def config(guest: RealGuest) -> str:
    """The path of the configuration for SSH clients."""
    result = ccvm_tui("ssh-config", guest.name)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode().strip()


def run(*argv: str, data: str = "", cwd: Path | None = None, **env: str) -> str:
    """Run a program, which must succeed, and return its output."""
    result = subprocess.run(
        argv, input=data, capture_output=True, text=True, timeout=120, cwd=cwd, env={**os.environ, **env}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_ssh_runs_programs_with_the_environment_of_a_session(guest: RealGuest, config: str) -> None:
    script = 'cat; whoami; echo "$CCVM_GUEST" "$CCVM_WORKSPACE"; exit 0'
    output = run("ssh", "-F", config, guest.name, script, data="input\n")
    assert output == f"input\ndev\n{guest.name} {guest.project}\n"
    status = subprocess.run(["ssh", "-F", config, guest.name, "exit 7"], check=False, timeout=60).returncode
    assert status == 7
    assert run("ssh", "-tt", "-F", config, guest.name, "tty").startswith("/dev/pts/")


def test_the_files_are_private_and_name_only_the_files_of_this_guest(guest: RealGuest, config: str) -> None:
    directory = Path(config).parent
    assert directory == guest.directory / "ssh"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
        "config": 0o600, "key": 0o600, "known_hosts": 0o600,
    }  # fmt: skip
    (key,) = (directory / "known_hosts").read_text().splitlines()
    assert key.startswith(f"{guest.name} ssh-ed25519 ")


def test_another_host_key_is_refused(guest: RealGuest, config: str, tmp_path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other"))
    other = (tmp_path / "other.pub").read_text()
    (tmp_path / "known_hosts").write_text(f"{guest.name} {other}")
    argv = ["ssh", "-F", config, "-o", f"UserKnownHostsFile={tmp_path}/known_hosts", guest.name, "true"]
    refused = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 255
    assert "verification failed" in refused.stderr.lower()


def test_scp_sftp_and_rsync_copy_in_both_directions(guest: RealGuest, config: str, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "data").write_bytes(os.urandom(1 << 20))
    run("scp", "-q", "-r", "-F", config, str(source), f"{guest.name}:/tmp/by-scp")
    run("scp", "-q", "-F", config, f"{guest.name}:/tmp/by-scp/sub/data", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (source / "sub" / "data").read_bytes()
    run("sftp", "-q", "-F", config, "-b", "-", guest.name, data=f"get /tmp/by-scp/sub/data {tmp_path}/by-sftp\n")
    assert (tmp_path / "by-sftp").read_bytes() == (source / "sub" / "data").read_bytes()
    run("rsync", "-a", "-e", f"ssh -F {config}", f"{source}/", f"{guest.name}:/tmp/by-rsync/")
    run("rsync", "-a", "-e", f"ssh -F {config}", f"{guest.name}:/tmp/by-rsync/", f"{tmp_path}/again/")
    assert (tmp_path / "again" / "sub" / "data").read_bytes() == (source / "sub" / "data").read_bytes()
    guest.sh("rm -r /tmp/by-scp /tmp/by-rsync")


def test_git_fetches_from_and_pushes_to_a_repository_in_the_guest(
    guest: RealGuest, config: str, tmp_path: Path
) -> None:
    guest.sh("git init -q --bare -b main /tmp/there.git")
    git = ("git", "-c", "user.name=n", "-c", "user.email=e@e", "-C", str(tmp_path / "here"))
    run("git", "init", "-q", "-b", "main", str(tmp_path / "here"))
    (tmp_path / "here" / "file").write_text("content")
    run(*git, "add", "file")
    run(*git, "commit", "-qm", "one")
    ssh = f"ssh -F {config}"
    run(*git, "push", "-q", f"{guest.name}:/tmp/there.git", "main", GIT_SSH_COMMAND=ssh)
    run("git", "clone", "-q", f"{guest.name}:/tmp/there.git", str(tmp_path / "clone"), GIT_SSH_COMMAND=ssh)
    assert (tmp_path / "clone" / "file").read_text() == "content"
    guest.sh("rm -rf /tmp/there.git")


def test_a_client_can_forward_ports_as_editors_do(guest: RealGuest, config: str) -> None:
    guest.open("--command", "--", "socat", "TCP-LISTEN:7071,bind=127.0.0.1,fork", "SYSTEM:echo hello")
    wait_until(lambda: b"\n7071 " in ccvm_tui("forward", guest.name).stdout)
    assert run("ssh", "-F", config, "-W", "127.0.0.1:7071", guest.name) == "hello\n"
    guest.run("pkill", "socat")


def test_the_server_ends_with_its_client(guest: RealGuest, config: str) -> None:
    def servers() -> int:
        return len(guest.run("pgrep", "sshd").stdout.split())

    before = servers()
    client = subprocess.Popen(["ssh", "-F", config, guest.name, "echo ready; sleep 600"], stdout=subprocess.PIPE)
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    assert servers() > before
    client.kill()
    client.communicate()
    wait_until(lambda: servers() == before)
    guest.run("pkill", "-f", "sleep 600")  # as with any SSH server, a program without a terminal goes on
