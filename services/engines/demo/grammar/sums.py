"""Small sums, and counting."""

from __future__ import annotations

from random import Random

_ASK = {
    "+": (
        "What is {a} + {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?", "{a}+{b}=",
        "What is {a}+{b}?",
        "How much is {a} plus {b}?", "{a} plus {b}", "Add {a} and {b}.", "what is {a} plus {b}",
        "What's {a} + {b}?", "{a} + {b} =", "Calculate {a} + {b}.", "How much is {a} + {b}?",
    ),
    "-": (
        "What is {a} - {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} = ?", "How much is {a} minus {b}?",
        "{a} minus {b}", "What is {a} minus {b}?", "{a}-{b}=", "How much is {a} - {b}?",
    ),
    "x": (
        "What is {a} x {b}?", "{a} x {b}", "{a}*{b}", "{a} * {b}", "What is {a} times {b}?",
        "How much is {a} times {b}?", "{a} times {b}", "What is {a} * {b}?",
    ),
}  # fmt: skip
_COUNT = ("Count to {n}.", "Count to {n}", "count to {n}", "Can you count to {n}?",
          "Count from 1 to {n}.", "Please count to {n}.")  # fmt: skip


def solve(a: int, sign: str, b: int) -> str:
    """The whole equation, as the model is to answer it."""
    result = {"+": a + b, "-": a - b, "x": a * b}[sign]
    return f"{a} {sign} {b} = {result}."


def sum_exchange(rng: Random) -> tuple[str, str]:
    """A sum of small numbers and its answer; single digits three times in four."""
    sign = rng.choices(("+", "-", "x"), (6, 3, 1))[0]
    most = 9 if sign == "x" or rng.random() < 0.85 else 20
    a, b = rng.randint(0, most), rng.randint(0, most)
    if sign == "-" and b > a:
        a, b = b, a
    return rng.choice(_ASK[sign]).format(a=a, b=b), solve(a, sign, b)


def count_exchange(rng: Random) -> tuple[str, str]:
    """Counting from one."""
    n = rng.randint(2, 20)
    return rng.choice(_COUNT).format(n=n), ", ".join(str(i) for i in range(1, n + 1)) + "."
