"""A ticket as a QR code (ISO/IEC 18004) that a terminal can show and a phone can read."""

from __future__ import annotations

import segno

BORDER = 2
"""Light modules around the code: less than the standard's four, which cameras read as well."""
_LIGHT_ON_DARK = "\x1b[97;40m"
_PLAIN = "\x1b[0m"
_HALVES = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
"""Upper and lower module of one character: light ones are drawn, so dark terminals fit."""


def render_qr(text: str, *, colour: bool = True) -> str:
    """Lines of half blocks. `colour` fixes light on dark, whatever the terminal's own colours.

    Upper case, because QR codes pack upper-case letters and digits a third closer; tickets are
    read in either case.
    """
    code = segno.make_qr(text.upper(), error="l", boost_error=False)
    rows = [list(row) for row in code.matrix_iter(border=BORDER)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = (
        "".join(_HALVES[bool(upper), bool(lower)] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    )
    start, end = (_LIGHT_ON_DARK, _PLAIN) if colour else ("", "")
    return "\n".join(f"{start}{line}{end}" for line in lines)
