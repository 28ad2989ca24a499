"""The last resort: leave at the deadline, the nearest one counts."""

from __future__ import annotations

import threading

import pytest

from node.exit_deadline import ExitDeadline

FAR = 3600.0


class Exit:
    """Stands in for os._exit, which cannot be tested in this process."""

    def __init__(self) -> None:
        self.left = threading.Event()
        self.codes: list[int] = []

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.left.set()


def test_it_leaves_after_its_last_words() -> None:
    leave, words = Exit(), list[str]()
    ExitDeadline(lambda: words.append("bye"), leave=leave).arm(0, 7)
    assert leave.left.wait(10)
    assert (words, leave.codes) == (["bye"], [7])


def test_a_nearer_deadline_replaces_a_far_one_and_not_the_other_way() -> None:
    leave = Exit()
    deadline = ExitDeadline(lambda: None, leave=leave)
    deadline.arm(FAR, 1)
    deadline.arm(0, 130)
    deadline.arm(FAR, 2)
    assert leave.left.wait(10)
    assert leave.codes == [130]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_it_leaves_even_when_the_last_words_fail() -> None:
    def stumble() -> None:
        raise OSError("gone")

    leave = Exit()
    ExitDeadline(stumble, leave=leave).arm(0, 1)
    assert leave.left.wait(10)
