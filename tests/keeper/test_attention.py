"""The attention of a session: activity and text, derived from events and times."""

from __future__ import annotations

import pytest

from ccvm_tui.agents import AGENTS
from ccvm_tui.guest import Activity, SessionKind
from ccvm_tui.session.attention import SIGN_LINES, Attention


class Scenario:
    """A simulated course of events for an Attention."""

    def __init__(self, kind: SessionKind) -> None:
        self.now = 1000.0
        self.attention = Attention(kind, self.now)
        self.wait(1)

    def wait(self, seconds: float) -> Scenario:
        for _ in range(int(seconds)):
            self.now += 1
            self.attention.tick(self.now)
        return self

    def prints(self, seconds: float) -> Scenario:
        for _ in range(int(seconds * 5)):
            self.now += 0.2
            self.attention.output(self.now)
        return self

    @property
    def state(self) -> tuple[Activity, str]:
        return self.attention.activity, self.attention.text


@pytest.fixture
def agent() -> Scenario:
    return Scenario(SessionKind.AGENT)


@pytest.fixture
def shell() -> Scenario:
    return Scenario(SessionKind.SHELL)


def test_output_that_stops_means_that_the_agent_probably_waits(agent: Scenario) -> None:
    assert agent.prints(5).state == (Activity.WORKING, "")
    assert agent.wait(10).state == (Activity.WAITING, "quiet after activity")


def signs_of(name: str) -> Attention:
    """Return an Attention for an agent of the table that has reported by a hook that it is working."""
    attention = Attention(SessionKind.AGENT, 0.0, (), AGENTS[name].signs)
    attention.hook(Activity.WORKING, "")
    attention.output(10.0)
    return attention


@pytest.mark.parametrize(
    ("agent", "line", "expected"),
    [
        ("claude", "❯ the prompt, restored by an interrupt", (Activity.IDLE, "")),
        ("claude", " Do you want to proceed?", (Activity.WAITING, "question")),
        ("claude", " Would you like to proceed?", (Activity.WAITING, "question")),
        ("claude", "I do not want to proceed.", (Activity.WORKING, "")),
        ("codex", "■ Conversation interrupted - use /feedback", (Activity.IDLE, "")),
        ("codex", "  Would you like to run the following command?", (Activity.WAITING, "question")),
        ("gemini", "ℹ Request cancelled.", (Activity.IDLE, "")),
    ],
)
def test_the_screen_of_a_silent_agent_shows_what_no_hook_reports(
    agent: str, line: str, expected: tuple[Activity, str]
) -> None:
    attention = signs_of(agent)
    assert not attention.wants_screen(12.0)  # it may be drawing
    assert attention.wants_screen(14.0)
    attention.screen(f"some text\n{line}\n\n> \n")
    assert (attention.activity, attention.text) == expected
    assert not attention.wants_screen(15.0)  # nothing has changed since


def test_a_sign_far_above_the_prompt_is_outdated() -> None:
    attention = signs_of("claude")
    attention.screen("Do you want to proceed?\n" + "later text\n" * SIGN_LINES)
    assert attention.activity is Activity.WORKING
    attention.output(20.0)
    assert attention.wants_screen(30.0)


def test_output_after_a_sign_means_that_the_agent_was_only_slow() -> None:
    attention = signs_of("claude")
    attention.screen("❯ \n")
    states = [attention.activity]
    for tenth in range(20):
        attention.output(20.0 + tenth / 10)
    assert [*states, attention.activity] == [Activity.IDLE, Activity.WORKING]


def test_the_screen_is_not_needed_without_a_hook_or_for_other_programs() -> None:
    attention = Attention(SessionKind.AGENT, 0.0, (), AGENTS["claude"].signs)
    attention.output(1.0)
    assert not attention.wants_screen(60.0)
    shell = Attention(SessionKind.SHELL, 0.0, (), AGENTS["claude"].signs)
    shell.hook(Activity.WORKING, "")
    assert not shell.wants_screen(60.0)


def test_looking_clears_a_guess_but_not_the_report_of_a_hook(agent: Scenario) -> None:
    agent.prints(5).wait(10).attention.seen()
    assert agent.state == (Activity.IDLE, "")
    agent.attention.hook(Activity.WAITING, "may I run rm?")
    agent.attention.seen()
    assert agent.state == (Activity.WAITING, "")


def test_titles_indicate_work_its_end_and_waiting() -> None:
    attention = Attention(SessionKind.AGENT, 0.0, ("(?i)action required",))
    attention.title("⠋ refactoring", 1.0)
    attention.output(2.0)
    attention.tick(60.0)  # silence for a minute has no meaning while the title shows a spinner
    assert (attention.activity, attention.text) == (Activity.WORKING, "")
    attention.title("⠙ Action Required: delete it?", 61.0)
    assert (attention.activity, attention.text) == (Activity.WAITING, "⠙ Action Required: delete it?")
    attention.typed(62.0)
    attention.title("⠋ refactoring", 63.0)
    attention.title("my agent", 90.0)
    assert (attention.activity, attention.text) == (Activity.DONE, "finished")
    attention.notification("merge?")
    attention.title("⠋ more", 92.0)
    assert (attention.activity, attention.text) == (Activity.WAITING, "merge?")


def test_hooks_take_precedence_over_titles(agent: Scenario) -> None:
    agent.attention.hook(Activity.WORKING, "")
    agent.attention.title("✋ waiting", agent.now)
    assert agent.state == (Activity.WORKING, "")


def test_hooks_take_precedence_over_guesses(agent: Scenario) -> None:
    agent.attention.hook(Activity.WORKING, "")
    assert agent.prints(5).wait(60).state == (Activity.WORKING, "")
    agent.attention.hook(Activity.WAITING, "may I run rm?")
    agent.attention.notification("something else")
    assert agent.state == (Activity.WAITING, "may I run rm?")
    agent.attention.typed(agent.now)
    assert agent.state == (Activity.WORKING, "")


def test_an_answer_clears_the_mark(agent: Scenario) -> None:
    agent.attention.notification("look here")
    agent.attention.typed(agent.now)
    assert agent.state == (Activity.WORKING, "")


def test_looking_clears_the_mark_but_the_agent_still_waits(agent: Scenario) -> None:
    agent.attention.notification("look here")
    agent.attention.seen()
    assert agent.state == (Activity.WAITING, "")


def test_echo_does_not_count_as_work(shell: Scenario) -> None:
    for _ in range(30):
        shell.now += 0.2
        shell.attention.typed(shell.now)
        shell.attention.output(shell.now + 0.01)
    assert shell.state == (Activity.IDLE, "")


def test_a_bell_asks_for_attention_unless_it_follows_a_key(shell: Scenario) -> None:
    shell.attention.typed(shell.now)
    shell.attention.bell(shell.now + 0.1)
    assert shell.state[1] == ""
    shell.attention.bell(shell.now + 5)
    assert shell.state == (Activity.WAITING, "bell")


@pytest.mark.parametrize(
    ("took", "status", "expected"),
    [
        (1, 0, (Activity.IDLE, "")),
        (1, 1, (Activity.IDLE, "")),
        (60, 0, (Activity.DONE, "command finished")),
        (60, 2, (Activity.FAILED, "command failed with status 2")),
    ],
)
def test_long_commands_report_their_end(
    shell: Scenario, took: int, status: int, expected: tuple[Activity, str]
) -> None:
    shell.attention.prompt("A", None, shell.now)
    shell.attention.prompt("C", None, shell.now)
    assert shell.state[0] is Activity.WORKING
    shell.wait(took)
    shell.attention.prompt("D", status, shell.now)
    assert shell.state == expected


def test_an_idle_editor_is_idle_and_a_running_build_is_working(shell: Scenario) -> None:
    shell.attention.prompt("C", None, shell.now)
    assert shell.prints(1).wait(10).state == (Activity.IDLE, "")
    assert shell.prints(5).state == (Activity.WORKING, "")


def test_a_redrawn_prompt_does_not_count_as_work(shell: Scenario) -> None:
    shell.attention.prompt("A", None, shell.now)
    assert shell.prints(10).state == (Activity.IDLE, "")
