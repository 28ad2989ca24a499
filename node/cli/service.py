"""`electrons service`: a node that runs whenever its user's machine does (systemd)."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from mesh.errors import ElectronsError
from mesh.storage.format import RELEASES
from node.cli.exit_code import ExitCode
from node.cli.setting_flags import add_setting_flags, raw_settings
from node.cli.terminal import say, say_json
from node.config import flag_of, load_config
from node.environment import environment
from node.release import CURRENT, point_current
from node.service_unit import render_unit

EXAMPLES = """\
examples:
  electrons service install --network home --slots 2
  electrons service install --print             only show the unit
  electrons service status
  electrons service uninstall

It installs a unit of your own systemd, without root. To have it run while you are not logged in:
  loginctl enable-linger"""

UNIT = "electrons.service"
SYSTEMCTL_SECONDS = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands; `install` takes the flags of `electrons up`."""
    parser.epilog = EXAMPLES
    commands = parser.add_subparsers(
        dest="action", required=True, metavar="install|uninstall|status"
    )
    install = commands.add_parser(
        "install", description="Install and start the service.", allow_abbrev=False
    )
    install.add_argument("--config", metavar="FILE", help="settings in TOML")
    install.add_argument("--print", action="store_true", dest="only_print", help="change nothing")
    add_setting_flags(install)
    commands.add_parser("uninstall", description="Stop and remove the service.")
    commands.add_parser("status", description="Say whether the service runs.")
    for command in commands.choices.values():
        command.epilog = EXAMPLES
        command.formatter_class = argparse.RawDescriptionHelpFormatter


def run(args: argparse.Namespace) -> int:
    """Do the sub-command."""
    if args.action == "install":
        return _install(args)
    if args.action == "uninstall":
        return _uninstall()
    return _systemctl("--no-pager", "status", UNIT, check=False)


def is_service(pid: int) -> bool:
    """Whether the process is the installed service's."""
    command = ["systemctl", "--user", "show", "--property=MainPID", "--value", UNIT]
    if shutil.which(command[0]) is None:
        return False
    done = subprocess.run(command, timeout=SYSTEMCTL_SECONDS, capture_output=True, check=False)
    return done.stdout.strip() == str(pid).encode()


def restart_service() -> None:
    """Start what `current` points at. Raises ElectronsError."""
    _systemctl("restart", UNIT)


def _install(args: argparse.Namespace) -> int:
    config = load_config(raw_settings(args), file=args.config)  # wrong settings show now, not later
    arguments = _arguments(args)
    link = config.data_dir / RELEASES / CURRENT
    unit = render_unit([str(link), "up", *arguments], config.data_dir)
    if args.only_print:
        say(unit.rstrip())
        return ExitCode.OK
    program = _own_program()
    _require_systemd()
    path = _unit_path()
    point_current(config.data_dir, program)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(unit)
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", UNIT)
    facts = {"unit": str(path), "program": str(program)}
    if args.json_output:
        say_json(facts)
    else:
        say(
            f"installed {path}; it runs now, and whenever you log in\n"
            "its log: journalctl --user -u electrons"
        )
    return ExitCode.OK


def _uninstall() -> int:
    _require_systemd()
    path = _unit_path()
    if not path.exists():
        raise ElectronsError(f"{path} is not there: no service is installed")
    _systemctl("disable", "--now", UNIT)
    path.unlink()
    _systemctl("daemon-reload")
    say(f"removed {path}; the data folder stays")
    return ExitCode.OK


def _arguments(args: argparse.Namespace) -> list[str]:
    """The given flags again, with the data folder always among them."""
    words = [] if args.config is None else ["--config", str(Path(args.config).absolute())]
    for name, value in raw_settings(args).items():
        if value is None or name in ("data_dir", "json_output"):
            continue
        if isinstance(value, bool):
            words.append(flag_of(name))
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [flag_of(name), str(each)]
    folder = load_config(raw_settings(args), file=args.config).data_dir
    return [*words, "--data-dir", str(folder)]


def _own_program() -> Path:
    found = shutil.which(sys.argv[0]) or shutil.which("electrons")
    if found is None:
        raise ElectronsError("the electrons command is not on the PATH: install the package first")
    return Path(found).resolve()


def _unit_path() -> Path:
    home = environment().get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "systemd" / "user" / UNIT


def _require_systemd() -> None:
    if shutil.which("systemctl") is None:
        raise ElectronsError(
            "this machine has no systemd: 'electrons service install --print' shows what to run"
        )


def _systemctl(*words: str, check: bool = True) -> int:
    command = ["systemctl", "--user", *words]
    try:
        done = subprocess.run(
            command, timeout=SYSTEMCTL_SECONDS, capture_output=check, text=True, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ElectronsError(f"{shlex.join(command)} failed: {error}") from None
    if check and done.returncode:
        raise ElectronsError(f"{shlex.join(command)} failed: {done.stderr.strip()[:300]}")
    return done.returncode
