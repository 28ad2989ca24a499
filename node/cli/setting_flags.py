"""The flags of `electrons up`, made from the settings themselves."""

from __future__ import annotations

import argparse
from typing import Any

from node.config import Config, extras_of

REPEATABLE = frozenset(
    {"join", "edge", "engines", "aliases", "grants", "public_urls", "schedule", "own_nodes"}
)
SWITCHES = {
    "mdns": False,
    "assignable": False,
    "json_output": True,
    "pause_on_battery": True,
    "pause_on_gpu_use": True,
}
"""Flags without a value, and what giving them means."""


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    """One flag per setting. Values stay raw: `load_config` checks them all in one place."""
    for name, field in Config.model_fields.items():
        extras = extras_of(name)
        if not extras["flag"]:
            continue
        about = (field.description or "").replace("`", "").replace("%", "%%")
        if name in SWITCHES:
            words = "do not: " + about[0].lower() + about[1:] if not SWITCHES[name] else about
            parser.add_argument(
                extras["flag"], dest=name, action="store_const", const=SWITCHES[name], help=words
            )
        else:
            parser.add_argument(
                extras["flag"],
                dest=name,
                metavar=extras["metavar"],
                action="append" if name in REPEATABLE else "store",
                help=about + (" Repeatable." if name in REPEATABLE else ""),
            )


def raw_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What was given, by name of the setting; None where nothing was."""
    return {name: getattr(args, name, None) for name in Config.model_fields}
