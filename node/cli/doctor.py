"""`electrons doctor`."""

from __future__ import annotations

import argparse
import getpass
import json
import platform
from collections.abc import Sequence
from pathlib import Path

from dht.join_address import parse_join_address
from mesh.errors import ConfigError, ElectronsError
from node.cli.exit_code import ExitCode
from node.cli.setting_flags import add_setting_flags, raw_settings
from node.cli.terminal import printable, remark, say, say_json
from node.config_addresses import parse_address
from node.config_values import BadValue
from node.doctor.aside import run_loosely
from node.doctor.checks import CHECKS
from node.doctor.examination import examine_all
from node.doctor.finding import Finding
from node.doctor.intake import Asked, admit, secrets_of
from node.doctor.patient import Patient
from node.doctor.redaction import private_of, redact_findings
from node.doctor.report import has_problem, render, render_report, summary, to_json
from node.environment import environment

TO_TERMINAL = "-"
EXAMPLES = """\
examples:
  electrons doctor
  electrons doctor --share report.txt
  electrons doctor --try relay.example.org:7718 --udp stun.example.org:3478

Give it the flags that you give to 'electrons up'; a running node's own flags are found by
themselves. Nothing is contacted but what the settings name, the node's relays, and --try and --udp.
Exit status 1: something keeps the node from serving."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags: those of `up`, and what to do with the report."""
    parser.epilog = EXAMPLES
    parser.add_argument("--config", metavar="FILE", help="settings in TOML")
    parser.add_argument(
        "--share",
        nargs="?",
        const=TO_TERMINAL,
        metavar="FILE",
        help="print the report, or write it to FILE, without secrets, names and addresses",
    )
    parser.add_argument(
        "--try",
        dest="named",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="another place to connect to. Repeatable",
    )
    parser.add_argument("--udp", metavar="HOST:PORT", help="a place that answers STUN, to try UDP")
    add_setting_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Check everything, tell what is found, and say by the exit status whether all is well."""
    named = tuple(parse_join_address(text, setting="--try") for text in args.named)
    asked = Asked(raw_settings(args), args.config, named, _udp_place(args.udp))
    patient = admit(asked, environment())
    told_at_once = not args.json_output and args.share is None
    findings = run_loosely(lambda: _examine(patient, told_at_once=told_at_once))
    if args.share is not None:
        _share(findings, patient, args.share, as_json=bool(args.json_output))
    elif args.json_output:
        say_json(to_json(findings))
    else:
        say(f"\n{summary(findings)}")
    return ExitCode.FAILED if has_problem(findings) else ExitCode.OK


async def _examine(patient: Patient, *, told_at_once: bool) -> list[Finding]:
    """All findings in the order of the checks, each told as it comes where that is wanted."""
    found: dict[str, tuple[Finding, ...]] = {}
    async for examined in examine_all(patient, CHECKS):
        found[examined.check.area] = examined.findings
        if told_at_once:
            for finding in examined.findings:
                say(printable(render(finding)))
    return [finding for check in CHECKS for finding in found.get(check.area, ())]


def _share(findings: Sequence[Finding], patient: Patient, where: str, *, as_json: bool) -> None:
    private = private_of(
        environment(),
        secrets_of(patient),
        user=_user(),
        home=str(Path("~").expanduser()),
        machine=platform.node(),
    )
    clean = redact_findings(findings, private)
    if as_json:
        text = json.dumps(to_json(clean), indent=2, ensure_ascii=False)
    else:
        text = printable(render_report(clean))
    if where == TO_TERMINAL:
        say(text)
        return
    try:
        Path(where).write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise ElectronsError(f"{where} cannot be written ({error.strerror})") from None
    remark(f"The report is in {where}; read it before you show it to anybody.")


def _udp_place(text: str | None) -> str:
    if text is None:
        return ""
    try:
        return str(parse_address(text))
    except BadValue as error:
        raise ConfigError("--udp", error.value, error.allowed) from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""  # a container's user without a name
