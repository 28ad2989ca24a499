"""The systemd unit that keeps a node running. Pure text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

TEMPLATE = """\
# Made by `electrons service install`; see systemd.service(5).
[Unit]
Description=Distributed Electrons node
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=simple
ExecStart={command}
Restart=on-failure
RestartSec=2
TimeoutStopSec=10
KillMode=mixed
Nice=5
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
ReadWritePaths={folder}

[Install]
WantedBy=default.target
"""


def render_unit(command: Sequence[str], folder: Path) -> str:
    """The unit's text; words are quoted as systemd reads them."""
    return TEMPLATE.format(command=" ".join(map(quote, command)), folder=quote(str(folder)))


def quote(word: str) -> str:
    """One word of ExecStart: $ and % mean something there and are doubled."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("%", "%%")
    return f'"{escaped}"' if not word or set(word) & set(" \t'\"\\;") else escaped
