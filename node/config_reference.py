"""Writes docs/configuration.md from the settings: `python -m node.config_reference`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from node.config import Config, extras_of
from node.config_sources import FILE_NAME
from node.environment import PREFIX

INTRODUCTION = f"""\
# Configuration

<!-- Written by `make docs` from node/config.py; a test compares them. -->

Every setting can stand in a file, in the environment and, if it has a flag, on the command line of
`electrons up`. Each source replaces the whole value of the ones before it:

1. the default,
2. the file: `--config FILE`, else `$ELECTRONS_CONFIG`, else `{FILE_NAME}` in the data folder,
3. the environment: `{PREFIX}` and the setting's name in capitals; empty means not set,
4. flags.

The file is TOML with the names below as keys; an unknown key is an error. In the environment and
behind a flag, lists are written with commas; `aliases` as `alias=model,other=model`. Everything is
checked before a socket opens, and whatever is wrong ends `electrons` with status 2 and one sentence
that names the setting, its value and what is allowed. Other variables that begin with `{PREFIX}`
are ignored, because container platforms make some up for a service of that name.

```toml
http = "0.0.0.0:7717"
access = "keys"
api_keys = ["sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]
join = ["192.168.1.20:7718"]
engines = ["http://127.0.0.1:8000"]
memory_cap = "8GiB"

[aliases]
gpt-4o-mini = "qwen3-8b"
```

The digest of a key is what `printf %s KEY | sha256sum` prints.
"""


def render_reference() -> str:
    """The whole document."""
    return INTRODUCTION + "".join(map(_render_setting, Config.model_fields))


def _render_setting(name: str) -> str:
    field, extras = Config.model_fields[name], extras_of(name)
    rows = [("flag", f"{extras['flag']} {extras['metavar']}".strip()), *_facts(name)]
    facts = "\n".join(f"- {label}: {_code(label, text)}" for label, text in rows if text)
    return f"\n## `{name}`\n{field.description}\n\n{facts}\n"


def _facts(name: str) -> list[tuple[str, str]]:
    extras = extras_of(name)
    return [
        ("variable", PREFIX + name.upper()),
        ("default", _default(name)),
        ("unit", extras["unit"]),
        ("cost", extras["cost"]),
    ]


def _code(label: str, text: str) -> str:
    literal = label in ("flag", "variable", "default") and not text.startswith("`")
    return f"`{text}`" if literal else text


def _default(name: str) -> str:
    if name == "data_dir":
        return (
            "`$XDG_DATA_HOME/electrons` or `~/.local/share/electrons`; on macOS "
            "`~/Library/Application Support/electrons`, on Windows `%LOCALAPPDATA%\\electrons`"
        )
    value = Config.model_fields[name].get_default(call_default_factory=True)
    if value is None or (isinstance(value, tuple | Mapping) and not value):
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool | Path) else str(value)


if __name__ == "__main__":
    sys.stdout.write(render_reference())
