"""`electrons doctor` as a program: beside a running node, without one, and shared."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh.storage.lock import FolderLock
from mesh.storage.run_file import RunInfo, write_run_file
from tests.integration.doctor.broken_places import saying, tcp_place, web_place
from tests.integration.mesh.daemon import ELECTRONS, Daemons
from tests.unit.node.doctor.patients import make_answer

PATIENCE = 40.0
"""Seconds for the command on a busy machine; its own limit is 14."""


async def run_doctor(*words: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        ELECTRONS, "doctor", *words, stdout=PIPE, stderr=PIPE, env={**os.environ, **(env or {})}
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def daemons(tmp_path: Path) -> AsyncIterator[Daemons]:
    running = Daemons(tmp_path)
    yield running
    await running.stop()


async def test_a_node_that_is_well_gets_a_clean_bill(daemons: Daemons, tmp_path: Path) -> None:
    first = await daemons.start("--engine", "demo")
    await daemons.start("--engine", "none", join=first)
    status, out, err = await run_doctor("--data-dir", str(tmp_path / "node-1"), "--json")
    report = json.loads(out)
    problems = [each for each in report["findings"] if each["status"] == "problem"]
    assert (status, problems, report["healthy"], err) == (0, [], True, "")
    told = {(each["area"], each["status"]): each["what"] for each in report["findings"]}
    assert "running node's own flags" in told["settings", "ok"]
    assert "in the mesh, with 1 link" in told["mesh", "ok"]
    assert "is the running node's" in told["ports", "ok"]
    assert "take connections" in told["outbound TCP", "ok"]


async def test_problems_are_told_at_once_and_by_the_exit_status(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "config.toml").write_text('rols = ["worker"]\n')
    status, out, _ = await run_doctor("--data-dir", str(folder))
    assert status == 1
    assert "PROBLEM  settings: The settings do not load" in out
    assert "-> correct the setting named below" in out
    assert "did you mean roles?" in out
    assert out.rstrip().splitlines()[-1].startswith("1 problem,")


async def test_wrong_flags_are_wrong_usage() -> None:
    status, _, err = await run_doctor("--udp", "nowhere")
    assert status == 2
    assert "--udp" in err


def canary(kind: str) -> str:
    """A word that stands nowhere else."""
    return f"canary{kind}{secrets.token_hex(6)}"


def planted_settings(canaries: dict[str, str], proxy_port: int) -> str:
    return f"""
        network = "{"12" * 20}"
        join = ["8.8.4.4:7718"]
        api_keys = ["sha256:{secrets.token_hex(32)}"]
        grants = ["electrons-grant-{canaries["grant"]}"]
        engines = ["http://127.0.0.1:{proxy_port}"]
        aliases = {{"{canaries["alias"]}" = "m"}}
        cors_origins = ["https://{canaries["origin"]}.example"]
    """


async def test_a_shared_report_holds_no_secret_of_any_kind(tmp_path: Path) -> None:
    """Canaries in the environment, the settings, the folder's files and the node's answers."""
    kinds = (
        "token key apikey grant ticket password user home prompt note alias origin engine reason"
    )
    canaries = {kind: canary(kind) for kind in kinds.split()}
    home = tmp_path / canaries["home"]
    folder = home / "data"
    folder.mkdir(mode=0o700, parents=True)
    answer = make_answer(
        state="isolated",
        links=0,
        reason=canaries["reason"],
        notes=[canaries["note"]],
        addresses=["tcp://8.8.4.4:7718"],
        prompt=canaries["prompt"],
        availability={"open": False, "reason": canaries["prompt"]},
    )
    refusal = b"HTTP/1.1 403 No\r\nX: " + canaries["engine"].encode() + b"\r\n\r\n"
    lock = FolderLock.acquire(folder)
    try:
        async with tcp_place(saying(refusal)) as port, web_place({"/api/node": answer}) as url:
            info = RunInfo(url, canaries["token"], os.getpid(), "cd" * 20, "127.0.0.1:1")
            write_run_file(folder, info)
            (folder / "config.toml").write_text(planted_settings(canaries, port))
            (folder / "grants").write_text(f"electrons-grant-{canaries['ticket']}\n")
            (folder / "grants").chmod(0o600)
            env = {
                "HOME": str(home),
                "LOGNAME": canaries["user"],
                "USER": canaries["user"],
                "ELECTRONS_KEY": canaries["key"],
                "SOME_API_KEY": canaries["apikey"],
                "https_proxy": f"http://{canaries['user']}:{canaries['password']}@127.0.0.1:{port}",
            }
            words = ("--data-dir", str(folder), "--share", str(tmp_path / "report.txt"))
            status, out, err = await run_doctor(*words, env=env)
            full = await run_doctor("--data-dir", str(folder), env=env)
    finally:
        lock.release()
    report = (tmp_path / "report.txt").read_text()
    assert status == 1
    assert "forbids tunnels to node 8.8.x.x:7718" in report
    assert "a grant cannot be read" in report.lower()
    told = {kind for kind, word in canaries.items() if word in report + out + err}
    assert told == set()
    assert "8.8.4.4" not in report
    # The planted words were there to be told: the owner's own view shows some of them.
    assert canaries["reason"] in full[1]
    assert canaries["home"] in full[1]
    assert "8.8.4.4" in full[1]


async def test_the_whole_examination_takes_no_longer_than_promised(tmp_path: Path) -> None:
    """Every place hangs: an edge router, a proxy, an engine, and UDP that is lost."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            continue

    async with tcp_place(hang) as port:
        settings: dict[str, Any] = {
            "edge": [f"http://127.0.0.1:{port}"],
            "join": [f"ws://127.0.0.1:{port}"],
            "engines": [f"http://127.0.0.1:{port}", "auto"],
        }
        folder = tmp_path / "data"
        folder.mkdir(mode=0o700)
        (folder / "config.toml").write_text(
            "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
        )
        began = time.monotonic()
        status, out, _ = await run_doctor("--data-dir", str(folder), "--json")
        assert time.monotonic() - began < PATIENCE
    findings = json.loads(out)["findings"]
    assert status == 1
    assert not [each for each in findings if "cut off" in each["what"]]
