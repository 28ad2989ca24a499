"""The command `electrons`. Imports a command's module only when that command is asked for."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO, cast

from mesh.errors import ConfigError, ElectronsError, JobError
from mesh.version import VERSION
from node.cli.exit_code import ExitCode
from node.cli.no_daemon import NoDaemon
from node.cli.terminal import printable, remark, say
from node.environment import variable
from node.not_admitted import NotAdmitted


class Command(Protocol):
    """What a command's module offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the overview, and the module behind it."""

    module: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "up": Entry("node.cli.up", "run a node until Ctrl-C"),
    "join": Entry("node.cli.join", "join a mesh by a ticket, and run a node of it"),
    "stop": Entry("node.cli.stop", "drain and stop the running node"),
    "pause": Entry("node.cli.pause", "take no jobs until resumed; what runs is finished"),
    "resume": Entry("node.cli.resume", "take jobs again"),
    "drain": Entry("node.cli.drain", "pause, and wait until no job is left"),
    "limits": Entry("node.cli.limits", "show or change what this machine gives at most"),
    "demo": Entry("node.cli.demo", "start a small mesh here and send generations through it"),
    "generate": Entry("node.cli.generate", "send one prompt and print the answer as it comes"),
    "chat": Entry("node.cli.chat", "talk to a model"),
    "status": Entry("node.cli.status", "show what the running node is and does"),
    "peers": Entry("node.cli.peers", "list the nodes it knows"),
    "models": Entry("node.cli.models", "list the models the mesh serves"),
    "why": Entry("node.cli.why", "tell what happened to a request, and why"),
    "services": Entry("node.cli.services", "say which services the mesh keeps running"),
    "gaps": Entry("node.cli.gaps", "show which services are covered, and why others are not"),
    "probe": Entry("node.cli.probe_command", "show this machine's hardware"),
    "doctor": Entry(
        "node.cli.doctor", "check what may keep this node from serving, and say the cure"
    ),
    "edge": Entry("node.cli.edge", "run an edge router, where nodes find their first peers"),
    "mesh": Entry(
        "node.cli.mesh", "create a mesh with a root key of its own, and grant roles in it"
    ),
    "invite": Entry("node.cli.invite", "print a ticket that lets nodes into the mesh"),
    "invites": Entry("node.cli.invites", "list the open tickets, or take one back"),
    "members": Entry("node.cli.members", "list who joined the mesh, and who was revoked"),
    "revoke": Entry("node.cli.revoke", "throw a node out of the mesh, everywhere and at once"),
    "audit": Entry("node.cli.audit", "show who changed what about the mesh's members"),
    "door": Entry("node.cli.door", "show this node's public name, and the door it keeps"),
    "coordinators": Entry("node.cli.coordinators", "show who coordinates the mesh, and who leads"),
    "update": Entry("node.cli.update", "let another release take over, or go back"),
    "service": Entry("node.cli.service", "keep a node running whenever this machine does"),
    "version": Entry("node.cli.version", "print the version"),
}

EXIT_CODES = """\
exit codes:
  0 done   1 failed   2 wrong usage or setting   3 no node is running
  4 the node refused or failed the job   5 the mesh refused the ticket   130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the result is the process's exit status. Errors become one sentence."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        _tolerate_encoding(stream)
    try:
        return int(_run(words))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return ExitCode.FAILED
    except ElectronsError as error:
        remark(f"electrons: {printable(error)}")
        return exit_code_of(error)
    except Exception as error:  # noqa: BLE001  a defect: a sentence for users, the trace on demand
        remark(f"electrons: a defect in this program ({type(error).__name__}: {printable(error)})")
        if variable("LOG_LEVEL") == "debug":
            traceback.print_exc()
        else:
            remark("electrons: set ELECTRONS_LOG_LEVEL=debug to see where, and please report it")
        return ExitCode.FAILED


def exit_code_of(error: ElectronsError) -> ExitCode:
    """The exit status an error of ours stands for."""
    if isinstance(error, ConfigError):
        return ExitCode.USAGE
    if isinstance(error, NoDaemon):
        return ExitCode.NO_DAEMON
    if isinstance(error, JobError):
        return ExitCode.JOB_FAILED
    if isinstance(error, NotAdmitted):
        return ExitCode.NOT_ADMITTED
    return ExitCode.FAILED


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        words = ["version"]
    if words and words[0] in COMMANDS:
        return _run_command(words[0], words[1:])
    parser = _overview()
    if not words or words[0] in ("-h", "--help", "help"):
        say(parser.format_help().rstrip())
        return ExitCode.OK if words else ExitCode.USAGE
    remark(f"electrons: {words[0]!r} is not a command{_near(words[0])}; see 'electrons --help'")
    return ExitCode.USAGE


def _run_command(name: str, words: list[str]) -> int:
    entry = COMMANDS[name]
    command = cast(Command, importlib.import_module(entry.module))
    parser = argparse.ArgumentParser(
        prog=f"electrons {name}",
        description=entry.summary[0].upper() + entry.summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.configure(parser)
    return command.run(parser.parse_args(words))


def _overview() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {entry.summary}" for name, entry in COMMANDS.items())
    return argparse.ArgumentParser(
        prog="electrons",
        usage="electrons COMMAND [options]   (electrons COMMAND --help explains one)",
        description=f"Distributed Electrons {VERSION}: a mesh of volunteers' machines.",
        epilog=f"commands:\n{listing}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )


def _near(word: str) -> str:
    import difflib  # only on this path: it would slow every start

    found = difflib.get_close_matches(word, COMMANDS, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _tolerate_encoding(stream: TextIO) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


def _discard_output() -> None:
    """The reader is gone: keep the interpreter from failing again when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
