"""Who waits for the user: facts and times in, activity and text out."""

from __future__ import annotations

import pytest

from ccvm_tui.guest import Activity, SessionKind
from ccvm_tui.session.attention import Attention


class Story:
    """Tells an Attention what happens, second by second."""

    def __init__(self, kind: SessionKind) -> None:
        self.now = 1000.0
        self.attention = Attention(kind, self.now)
        self.wait(1)

    def wait(self, seconds: float) -> Story:
        for _ in range(int(seconds)):
            self.now += 1
            self.attention.tick(self.now)
        return self

    def prints(self, seconds: float) -> Story:
        for _ in range(int(seconds * 5)):
            self.now += 0.2
            self.attention.output(self.now)
        return self

    @property
    def state(self) -> tuple[Activity, str]:
        return self.attention.activity, self.attention.text


@pytest.fixture
def agent() -> Story:
    return Story(SessionKind.AGENT)


@pytest.fixture
def shell() -> Story:
    return Story(SessionKind.SHELL)


def test_output_that_stops_is_a_guess_that_the_agent_waits(agent: Story) -> None:
    assert agent.prints(5).state == (Activity.WORKING, "")
    assert agent.wait(10).state == (Activity.WAITING, "quiet after activity")


def test_a_guess_that_was_looked_at_is_forgotten_what_was_told_is_not(agent: Story) -> None:
    agent.prints(5).wait(10).attention.seen()
    assert agent.state == (Activity.IDLE, "")
    agent.attention.hook(Activity.WAITING, "may I run rm?", agent.now)
    agent.attention.seen()
    assert agent.state == (Activity.WAITING, "")


def test_titles_tell_of_work_of_its_end_and_of_waiting() -> None:
    attention = Attention(SessionKind.AGENT, 0.0, ("(?i)action required",))
    attention.title("⠋ refactoring", 1.0)
    attention.output(2.0)
    attention.tick(60.0)  # a quiet minute means nothing while the title turns
    assert (attention.activity, attention.text) == (Activity.WORKING, "")
    attention.title("⠙ Action Required: delete it?", 61.0)
    assert (attention.activity, attention.text) == (Activity.WAITING, "⠙ Action Required: delete it?")
    attention.typed(62.0)
    attention.title("⠋ refactoring", 63.0)
    attention.title("my agent", 90.0)
    assert (attention.activity, attention.text) == (Activity.DONE, "finished")
    attention.notification("merge?", 91.0)
    attention.title("⠋ more", 92.0)
    assert (attention.activity, attention.text) == (Activity.WAITING, "merge?")


def test_titles_mean_nothing_beside_hooks(agent: Story) -> None:
    agent.attention.hook(Activity.WORKING, "", agent.now)
    agent.attention.title("✋ waiting", agent.now)
    assert agent.state == (Activity.WORKING, "")


def test_hooks_silence_guesses(agent: Story) -> None:
    agent.attention.hook(Activity.WORKING, "", agent.now)
    assert agent.prints(5).wait(60).state == (Activity.WORKING, "")
    agent.attention.hook(Activity.WAITING, "may I run rm?", agent.now)
    agent.attention.notification("something else", agent.now)
    assert agent.state == (Activity.WAITING, "may I run rm?")
    agent.attention.typed(agent.now)
    assert agent.state == (Activity.WORKING, "")


def test_an_answer_takes_the_mark_away(agent: Story) -> None:
    agent.attention.notification("look here", agent.now)
    agent.attention.typed(agent.now)
    assert agent.state == (Activity.WORKING, "")


def test_looking_takes_the_mark_but_the_agent_still_waits(agent: Story) -> None:
    agent.attention.notification("look here", agent.now)
    agent.attention.seen()
    assert agent.state == (Activity.WAITING, "")


def test_echo_is_no_work(shell: Story) -> None:
    for _ in range(30):
        shell.now += 0.2
        shell.attention.typed(shell.now)
        shell.attention.output(shell.now + 0.01)
    assert shell.state == (Activity.IDLE, "")


def test_a_bell_calls_unless_it_answers_a_key(shell: Story) -> None:
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
def test_long_commands_report_their_end(shell: Story, took: int, status: int, expected: tuple[Activity, str]) -> None:
    shell.attention.prompt("A", None, shell.now)
    shell.attention.prompt("C", None, shell.now)
    assert shell.state[0] is Activity.WORKING
    shell.wait(took)
    shell.attention.prompt("D", status, shell.now)
    assert shell.state == expected


def test_an_editor_at_rest_is_idle_and_a_build_at_work_is_not(shell: Story) -> None:
    shell.attention.prompt("C", None, shell.now)
    assert shell.prints(1).wait(10).state == (Activity.IDLE, "")
    assert shell.prints(5).state == (Activity.WORKING, "")


def test_a_prompt_that_is_drawn_again_is_no_work(shell: Story) -> None:
    shell.attention.prompt("A", None, shell.now)
    assert shell.prints(10).state == (Activity.IDLE, "")
