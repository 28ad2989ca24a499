"""The unit that `electrons service install` writes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from node.cli.main import main
from node.service_unit import quote, render_unit


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ('say "x"', '"say \\"x\\""'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ("", '""'),
    ],
)
def test_words_are_quoted_as_systemd_reads_them(word: str, quoted: str) -> None:
    assert quote(word) == quoted


def test_the_command_prints_the_unit_with_the_given_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my node"
    words = ["--slots", "2", "--no-mdns", "--data-dir", str(folder), "--join", "10.0.0.1:7718"]
    assert main(["service", "install", "--print", *words]) == 0
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert line.startswith(f'ExecStart="{folder}/releases/current" up ')
    assert "--slots 2" in line and "--no-mdns" in line and "--join 10.0.0.1:7718" in line
    assert line.endswith(f'--data-dir "{folder}"')


def test_wrong_settings_show_at_the_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service", "install", "--print", "--slots", "none"]) == 2
    assert "--slots" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "electrons.service"
    path.write_text(render_unit(["/bin/true", "up", "--data-dir", str(tmp_path)], tmp_path))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(path)],
        capture_output=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
