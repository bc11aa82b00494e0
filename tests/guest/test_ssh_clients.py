"""Real SSH clients of the host with a real guest: ssh, scp, sftp, rsync, git; and the SSH agent of the host in it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ccvm_tui.client import connection
from ccvm_tui.protocol import Info
from tests.guest.conftest import RealGuest, ccvm_tui
from tests.ssh_agents import running_agent
from tests.waiting import wait_until

pytestmark = pytest.mark.unmeasured

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
    def servers() -> set[bytes]:
        return set(guest.run("pgrep", "sshd").stdout.split())

    before = servers()
    client = subprocess.Popen(["ssh", "-F", config, guest.name, "echo ready; sleep 600"], stdout=subprocess.PIPE)
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    started = servers() - before
    assert started
    client.kill()
    client.communicate()
    wait_until(lambda: not servers() & started)
    guest.run("pkill", "-f", "sleep 600")  # as with any SSH server, a program without a terminal goes on


USE_OF_THE_AGENT = """
cd /tmp/agent
ssh-add -L >listed 2>&1
ssh-add -D >/dev/null 2>&1; echo "remove $?" >log
for name in one two; do
    printf %s "$name" >"$name"
    ssh-keygen -Y sign -n git -f key.pub "$name" >/dev/null 2>&1; echo "sign $?" >>log
done
ssh-keygen -Y check-novalidate -n git -s one.sig <one >/dev/null; echo "check $?" >>log
printf %s "$SSH_AUTH_SOCK" >done
"""


async def test_a_session_uses_the_agent_of_the_host_as_far_as_the_user_confirms_it(
    guest: RealGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_agent() as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", agent.socket)
        guest.sh(f"mkdir /tmp/agent; echo '{(agent.directory / 'ed25519.pub').read_text()}' >/tmp/agent/key.pub")
        async with await connection.connect(guest.name, events=True, asks=True) as keeper:
            options = ("--ssh-agent", "--command", "--", "sh", "-c", USE_OF_THE_AGENT)
            session = await asyncio.to_thread(guest.open, *options)
            answered: list[int] = []
            async with asyncio.timeout(60):
                async for event in keeper.events():
                    for question in event.guest.signatures if isinstance(event, Info) else ():
                        if question.number not in answered:
                            assert (question.session, question.key) == (session, agent.fingerprint())
                            await keeper.answer_signature(question.number, allow=not answered, once=True)
                            answered.append(question.number)
                    if len(answered) == 2:
                        break
            wait_until(lambda: guest.run("test", "-s", "/tmp/agent/done").returncode == 0)
        assert guest.sh("cat /tmp/agent/listed") == agent.keys
        log = guest.sh("cat /tmp/agent/log").split("\n")
        assert (log[1], log[3]) == ("sign 0", "check 0")
        assert log[0] != "remove 0"
        assert log[2] != "sign 0"
        assert agent.keys.count("\n") == 2
        guest.sh('test -z "$SSH_AUTH_SOCK"')
        # the session has ended, and its agent with it
        listing = "export SSH_AUTH_SOCK=$(cat /tmp/agent/done); ssh-add -l"
        assert guest.run("sh", "-c", listing).returncode == 2
        guest.sh("rm -r /tmp/agent")
