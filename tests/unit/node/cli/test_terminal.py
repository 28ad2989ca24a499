"""What reaches the terminal."""

from __future__ import annotations

from node.cli.terminal import printable, render_rows


def test_a_peers_words_cannot_steer_the_terminal() -> None:
    shown = printable("a\x1b[2Jb\x07c\x9bd\u202ee\nf\tg")
    assert shown == "a\ufffd[2Jb\ufffdc\ufffdd\ufffde\nf\tg"


def test_columns_are_aligned_and_one_line_each() -> None:
    table = render_rows([("a", 1), ("bbb\nc", "")], head=("NAME", "N"))
    assert table == "NAME   N\na      1\nbbb c"


def test_no_rows_are_no_lines() -> None:
    assert render_rows([]) == ""
