"""Logins that never enter a real guest: programs in it use placeholders, and their host receives the credentials."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from ccvm_tui.paths import cache_dir
from tests.attack.searching import Watch, files_with
from tests.broker.apis import ANSWER, serving, write_login
from tests.conftest import XDG
from tests.guest.conftest import Starter, ccvm_tui
from tests.terminals import attached
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured

CLAUDE = (
    "env", "HTTPS_PROXY=http://127.0.0.1:3128", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "timeout", "240",
    "/opt/ccvm/agent", "-p", "a question",
)  # fmt: skip
"""Claude Code, which finds a host with the name localhost only through the proxy."""


@pytest.mark.attack
async def test_no_login_enters_the_guest_and_its_programs_are_logged_in(
    home: Path,
    tmp_path: Path,
    own_guest: Starter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home / "me"))
    with serving(tmp_path) as api:
        key = f"sk-ant-api03-{secrets.token_hex(40)}"
        api.keys = {key}
        tokens = write_login(home / "me/.credentials.json", api)["claudeAiOauth"]
        bundle = tmp_path / "bundle.pem"
        bundle.write_bytes(api.ca.read_bytes())
        # keepers trust the test's server, as they do an authority of the user's system
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        base = f"https://localhost:{api.port}/gateway"
        monkeypatch.setenv("ANTHROPIC_BASE_URL", base)
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)
        with Watch(key) as watch, Watch(tokens["accessToken"]) as second:
            guest = own_guest("--login", "broker", "--egress", "allowlist")
            monkeypatch.delenv("ANTHROPIC_API_KEY")
        assert [place for place in watch.found | second.found if "pytest" not in place] == []
        allowed = ccvm_tui("egress", guest.name, "--allow", f"127.0.0.1:{api.port}")
        assert allowed.returncode == 0, allowed.stderr.decode()

        # a program with the API key of its session, which trusts the authorities of the system
        async with attached(guest.name, "s1", cols=200) as terminal:
            await terminal.until("❯")
            terminal.type(
                "curl -sSx http://127.0.0.1:3128 -H \"x-api-key: $ANTHROPIC_API_KEY\" -d '{}'"
                ' "$ANTHROPIC_BASE_URL/v1/messages"; echo " status $?"; echo ${ANTHROPIC_API_KEY:0:30}\r'
            )
            await terminal.until(" status 0")
            await terminal.until("sk-ant-api03-ccvm-placeholder")
        # Claude Code itself, with the subscription of its credentials file
        done = guest.run("env", f"ANTHROPIC_BASE_URL={base}", *CLAUDE[1:], within=260)
        assert ANSWER in done.stdout.decode(), done.stdout.decode() + done.stderr.decode()
        received = [headers for headers, _ in api.requests_to("/gateway/v1/messages")]
        assert received[0]["x-api-key"] == key
        assert received[1]["authorization"] == f"Bearer {tokens['accessToken']}"
        assert guest.sh("stat -c '%a %U' ~/.claude/.credentials.json") == "600 dev\n"
        assert guest.sh(
            'echo "$NODE_EXTRA_CA_CERTS"; openssl x509 -noout -subject -in "$NODE_EXTRA_CA_CERTS"'
        ).endswith("subject=CN=ccvm logins of this guest\n")
        # a placeholder is worth nothing past the keeper, nor at another path
        refused = guest.sh(
            f"curl -sSx http://127.0.0.1:3128 -d '{{}}' {base}-not -H \"Authorization: Bearer $(jq -r"
            " .claudeAiOauth.accessToken ~/.claude/.credentials.json)\" -o /dev/null -w '%{http_code}'"
        )
        assert refused == "403"
        assert {path.partition("?")[0] for path, *_ in api.received} == {"/gateway/v1/messages"}

        real = [key, tokens["accessToken"], tokens["refreshToken"], "another-secret"]
        patterns = "\n".join(real)
        script = "cat >/tmp/patterns && sudo grep -rlsaF -f /tmp/patterns --exclude=patterns --exclude-dir=sys"
        places = "/home /run /etc /tmp /root /var /usr/local /proc/[0-9]*/environ /proc/[0-9]*/cmdline"
        found = guest.run("sh", "-c", f"{script} {places}", data=patterns.encode(), within=200)
        assert found.stdout == b"", found.stdout.decode()
        for process in (guest.keeper, *guest.keeper.children(recursive=True)):
            text = " ".join([*process.cmdline(), *process.environ().values()])
            assert not [secret for secret in real if secret in text]
        assert guest.keeper.rlimit(4) == (1, 1)  # RLIMIT_CORE: no core file, and none for a program
        needles = [secret.encode() for secret in real]
        private = [home / variable[4:-4].lower().replace("_", "") for variable in XDG]
        assert files_with([*private, guest.project], *needles, b"PRIVATE KEY") == []
        assert files_with([cache_dir()], *needles) == []
        output = ccvm_tui("ls", "--json").stdout + ccvm_tui("egress", "--json", guest.name).stdout
        assert not [secret for secret in needles if secret in output]
        assert json.loads(ccvm_tui("ls", "--json").stdout)
        guest.keeper.kill()
    await eventually(lambda: ccvm_tui("ls").stdout == b"")
    assert files_with([home / "runtime", home / "state"], *needles) == []
    assert os.environ.get("ANTHROPIC_API_KEY") is None
