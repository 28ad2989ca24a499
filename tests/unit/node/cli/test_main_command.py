"""The command as a whole: overview, unknown words, exit status, errors as sentences."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from mesh.errors import ConfigError, ElectronsError, JobFailed, StorageError
from mesh.version import VERSION
from node.cli.exit_code import ExitCode
from node.cli.main import COMMANDS, Entry, exit_code_of, main
from node.cli.no_daemon import NoDaemon

ROOT = Path(__file__).parents[4]
Output = pytest.CaptureFixture[str]


def test_the_overview_names_every_command(capsys: Output) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in text
    assert "3 no node is running" in text


def test_without_a_command_the_overview_is_a_usage_error(capsys: Output) -> None:
    assert main([]) == ExitCode.USAGE
    assert "commands:" in capsys.readouterr().out


def test_an_unknown_command_gets_the_closest(capsys: Output) -> None:
    assert main(["statsu"]) == ExitCode.USAGE
    assert capsys.readouterr().err == (
        "electrons: 'statsu' is not a command (did you mean 'status'?); see 'electrons --help'\n"
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_with_an_example(name: str, capsys: Output) -> None:
    actions = {"mesh": ["create"], "service": ["install"]}
    words = [name, *actions.get(name, []), "--help"]
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: electrons {name}")
    assert f"  electrons {name}" in text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("--x", 1, "no"), 2),
        (NoDaemon("none"), 3),
        (JobFailed("no"), 4),
        (StorageError("no"), 1),
        (ElectronsError("no"), 1),
    ],
)
def test_each_kind_of_error_has_its_status(error: ElectronsError, code: int) -> None:
    assert exit_code_of(error) == code


class Broken:
    """A command that fails in the way it was given."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Nothing to declare."""

    def run(self, args: argparse.Namespace) -> int:
        raise self._error


def run_broken(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setitem(sys.modules, "broken_command", cast(ModuleType, Broken(error)))
    monkeypatch.setitem(COMMANDS, "broken", Entry("broken_command", "fail"))
    return main(["broken"])


def test_errors_are_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    assert run_broken(StorageError("no room\x1b[2J"), monkeypatch) == 1
    assert capsys.readouterr().err == "electrons: no room\ufffd[2J\n"


def test_a_defect_is_a_sentence_and_the_trace_is_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    assert run_broken(KeyError("x"), monkeypatch) == 1
    text = capsys.readouterr().err
    assert "a defect in this program (KeyError: 'x')" in text
    assert "Traceback" not in text
    monkeypatch.setenv("ELECTRONS_LOG_LEVEL", "debug")
    run_broken(KeyError("x"), monkeypatch)
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_has_the_shells_status(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_broken(KeyboardInterrupt(), monkeypatch) == 130


def test_the_version_is_the_one_of_the_package(capsys: Output) -> None:
    assert main(["version", "--json"]) == main(["--version"]) == 0
    assert json.JSONDecoder().raw_decode(capsys.readouterr().out)[0]["version"] == VERSION
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_a_wrong_flag_is_a_usage_error(capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["version", "--jsn"])
    assert caught.value.code == ExitCode.USAGE
    assert "--jsn" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_defect() -> None:
    """`electrons --help | head -1` ends quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "node.cli.main", "--help"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert b"Traceback" not in errors
    assert b"defect" not in errors


@pytest.mark.parametrize("name", ["version", "status", "generate", "stop"])
def test_commands_load_nothing_heavy(name: str) -> None:
    """What makes them slow to start stays out; seconds are not measured here."""
    script = (
        "import sys, importlib, node.cli.main as m\n"
        f"importlib.import_module(m.COMMANDS[{name!r}].module)\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = ["aiohttp", "pydantic", "numpy", "cryptography", "zeroconf", "asyncio", "msgpack"]
    result = subprocess.run(
        [sys.executable, "-c", script, *heavy], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
