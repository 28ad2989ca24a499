"""Real faults put into a patient's world: each is found by its check, with cause and cure."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.capability import Role
from mesh.identity.charter import encode_charter, write_charter
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.private_file import write_private
from mesh.identity.revocations import Revoked, sign_revocations
from mesh.storage.lock import FolderLock
from mesh.storage.run_file import RunInfo, write_run_file
from mesh.wire.revocation import pack_lists
from node.doctor.certificate import AREA as CERTIFICATE
from node.doctor.checks import CHECKS
from node.doctor.clock import AREA as CLOCK
from node.doctor.edge import AREA as EDGE
from node.doctor.engines import AREA as ENGINES
from node.doctor.examination import Check, examine_all, run_check
from node.doctor.finding import Finding, ok
from node.doctor.folder import AREA as FOLDER
from node.doctor.folder import DISK
from node.doctor.grants import AREA as GRANTS
from node.doctor.graphics import judge_graphics, look_at
from node.doctor.intake import Asked, admit
from node.doctor.listening import AREA as PORTS
from node.doctor.names import AREA as NAMES
from node.doctor.outbound import AREA as TCP
from node.doctor.outbound import UDP
from node.doctor.patient import Patient, Room
from node.doctor.proxy import AREA as PROXY
from node.doctor.reach import REACH, RELAYS
from node.doctor.settings import AREA as SETTINGS
from node.hardware.gpu_nvidia import probe_nvidia
from node.hardware.hardware import Accelerators
from tests.fakes.certificates import certify
from tests.fakes.knobs import Knobs
from tests.fakes.openai_server import FakeOpenAI
from tests.integration.doctor.broken_places import hang, saying, tcp_place, udp_place, web_place
from tests.unit.node.doctor.patients import make_answer, make_patient, worst

DAY = 86_400.0
WORKER: tuple[Role, ...] = ("worker",)
ENVIRON = {"HOME": "/h"}


async def find(area: str, patient: Patient) -> Finding:
    """What the check of an area says in the first place."""
    check = next(check for check in CHECKS if check.area == area)
    return worst(await run_check(check, patient))


def expect(finding: Finding, status: str, cause: str, cure: str) -> None:
    assert (finding.status, cause in finding.what, cure in finding.cure) == (status, True, True), (
        finding
    )


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens while it is bound."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_a_wrong_clock_shows_against_an_edge_router(tmp_path: Path) -> None:
    now = time.time()
    async with web_place({"/health": {"status": "ok", "nodes": 1}}, now=now) as url:
        wrong = make_patient(tmp_path, {"edge": [url]}, wall=lambda: time.time() + 3600)
        expect(await find(CLOCK, wrong), "problem", "ahead of 1 other clock", "set its clock")
        right = make_patient(tmp_path, {"edge": [url]})
        assert (await find(CLOCK, right)).status == "ok"


async def test_a_folder_in_which_nothing_can_be_written(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, data_dir=Path("/proc/electrons"))
    finding = await find(FOLDER, patient)
    expect(finding, "problem", "Nothing can be written", "--data-dir")


async def test_a_folder_held_by_something_that_is_no_node(tmp_path: Path) -> None:
    lock = FolderLock.acquire(tmp_path)
    try:
        patient = await asyncio.to_thread(admit, Asked({"data_dir": str(tmp_path)}), ENVIRON)
    finally:
        lock.release()
    expect(await find(FOLDER, patient), "problem", "Another process holds", "another --data-dir")


async def test_a_node_that_holds_the_folder_and_does_not_answer(
    tmp_path: Path, closed_port: int
) -> None:
    lock = FolderLock.acquire(tmp_path)
    url = f"http://127.0.0.1:{closed_port}"
    write_run_file(tmp_path, RunInfo(url, "token", 4242, "ab" * 20, "127.0.0.1:1"))
    try:
        patient = await asyncio.to_thread(admit, Asked({"data_dir": str(tmp_path)}), ENVIRON)
    finally:
        lock.release()
    expect(await find(FOLDER, patient), "problem", "process id 4242", "electrons stop")


async def test_a_run_file_that_cannot_be_read(tmp_path: Path) -> None:
    lock = FolderLock.acquire(tmp_path)
    (tmp_path / "run.json").write_text("{")
    (tmp_path / "run.json").chmod(0o600)
    try:
        patient = await asyncio.to_thread(admit, Asked({"data_dir": str(tmp_path)}), ENVIRON)
    finally:
        lock.release()
    expect(await find(FOLDER, patient), "problem", "cannot be read", "restart the node")


async def test_a_full_disk(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, room=lambda _: Room(10**9, 4096))
    expect(await find(DISK, patient), "problem", "0 MiB of", "free at least")


async def test_a_wrong_key_in_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('slot = 3\nnetwork = "x"\n')
    patient = await asyncio.to_thread(admit, Asked({"data_dir": str(tmp_path)}), ENVIRON)
    finding = await find(SETTINGS, patient)
    expect(finding, "problem", "config.toml", "correct the setting")
    assert "did you mean slots" in finding.detail


async def test_an_occupied_port(tmp_path: Path) -> None:
    async with tcp_place(hang) as port:
        patient = make_patient(tmp_path, {"mesh": f"127.0.0.1:{port}"})
        expect(await find(PORTS, patient), "problem", "in use by", "--mesh")


async def test_a_dead_proxy(tmp_path: Path, closed_port: int) -> None:
    environ = {"https_proxy": f"http://user:secret@127.0.0.1:{closed_port}"}
    patient = make_patient(tmp_path, {"edge": ["https://edge.invalid"]}, environ=environ)
    finding = await find(PROXY, patient)
    expect(finding, "problem", f"127.0.0.1:{closed_port} does not answer", "unset it")
    assert "secret" not in finding.what


@pytest.mark.parametrize(
    ("answer", "cause", "cure"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "wants a user name",
            "USER:PASSWORD",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "forbids tunnels to edge router", "443"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "does not speak CONNECT", "web server"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak CONNECT", "address"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "cannot reach edge router", "place runs"),
    ],
)
async def test_a_proxy_that_does_not_open_the_way(
    tmp_path: Path, answer: bytes, cause: str, cure: str
) -> None:
    async with tcp_place(saying(answer)) as port:
        environ = {"https_proxy": f"http://127.0.0.1:{port}"}
        patient = make_patient(tmp_path, {"edge": ["https://edge.invalid"]}, environ=environ)
        finding = await find(PROXY, patient)
    assert finding.status in ("problem", "warning")
    assert cause in finding.what
    assert cure in finding.cure


async def test_a_proxy_that_opens_tunnels_is_well(tmp_path: Path) -> None:
    async with tcp_place(saying(b"HTTP/1.1 200 Connection established\r\n\r\n")) as port:
        environ = {"https_proxy": f"http://127.0.0.1:{port}"}
        patient = make_patient(tmp_path, {"edge": ["https://edge.invalid"]}, environ=environ)
        assert (await find(PROXY, patient)).status == "ok"


async def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    def resolve(host: str) -> tuple[str, ...]:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    patient = make_patient(tmp_path, {"edge": ["https://edge.example"]}, resolve=resolve)
    expect(await find(NAMES, patient), "problem", "edge.example", "DNS")


async def test_an_edge_router_and_a_node_that_are_down(tmp_path: Path, closed_port: int) -> None:
    place = f"127.0.0.1:{closed_port}"
    patient = make_patient(tmp_path, {"edge": [f"http://{place}"], "join": [place]})
    expect(await find(EDGE, patient), "problem", "does not answer", "URL")
    expect(await find(TCP, patient), "problem", f"Nothing listens at edge router {place}", "runs")


async def test_a_web_site_in_place_of_an_edge_router(tmp_path: Path) -> None:
    async with web_place({"/health": {"status": "fine"}}) as url:
        patient = make_patient(tmp_path, {"edge": [url]})
        expect(await find(EDGE, patient), "problem", "not as an edge router", "`edge`")


async def test_udp_that_comes_back_only_as_noise(tmp_path: Path) -> None:
    async with udp_place(lambda asked: b"\x01\x01\x00\x00" + b"noise" * 4) as port:
        patient = make_patient(tmp_path, udp=f"127.0.0.1:{port}")
        expect(await find(UDP, patient), "warning", "does not answer over UDP", "outgoing UDP")


async def test_udp_that_is_open(tmp_path: Path) -> None:
    async with udp_place(lambda asked: b"\x01\x01\x00\x00" + asked[4:20]) as port:
        assert (await find(UDP, make_patient(tmp_path, udp=f"127.0.0.1:{port}"))).status == "ok"


async def test_relays_that_died_and_one_that_is_also_joined_through(
    tmp_path: Path, closed_port: int
) -> None:
    async with tcp_place(hang) as port:
        ways = [f"relay://127.0.0.1:{each}/{'ab' * 20}/{'cd' * 20}" for each in (port, closed_port)]
        answer = make_answer(addresses=ways, reach={"state": "private", "addresses": []})
        patient = make_patient(tmp_path, {"join": [f"127.0.0.1:{port}"]}, answer=answer)
        finding = await find(RELAYS, patient)
        expect(finding, "warning", f"relay 127.0.0.1:{closed_port} does not", "by itself")
        assert (await find(REACH, patient)).status == "ok"
    expect(await find(RELAYS, patient), "problem", "None of the 2 relays", "ways out")
    lonely = make_patient(tmp_path, answer=make_answer(reach={"state": "private"}))
    expect(await find(REACH, lonely), "warning", "has no relay", "forward the mesh port")


@pytest.mark.parametrize(
    ("left", "another_mesh", "cause"),
    [(-3 * DAY, False, "expired 3 days ago"), (DAY, True, "another mesh"), (60.0, False, "ends")],
)
async def test_grants_that_do_not_hold(
    tmp_path: Path, left: float, another_mesh: bool, cause: str
) -> None:
    root, key = RootKey.generate(), NodeKey.load_or_create(tmp_path / "node.key")
    charter = write_charter(root, key.node_id, WORKER, time.time() + left, founder=False)
    network = "12" * 20 if another_mesh else root.mesh_id
    settings = {"grants": [encode_charter(charter)], "network": network}
    finding = await find(GRANTS, make_patient(tmp_path, settings))
    assert cause in finding.what
    assert "new ticket or grant" in finding.cure


async def test_a_newer_grant_covers_one_that_ran_out(tmp_path: Path) -> None:
    root, key = RootKey.generate(), NodeKey.load_or_create(tmp_path / "node.key")
    ends = (time.time() - 3 * DAY, time.time() + 30 * DAY)
    charters = [write_charter(root, key.node_id, WORKER, end, founder=False) for end in ends]
    settings = {"grants": [encode_charter(each) for each in charters], "network": root.mesh_id}
    finding = await find(GRANTS, make_patient(tmp_path, settings))
    assert (finding.status, finding.what) == ("ok", "Valid grants give worker")


@pytest.mark.parametrize("whole", [True, False])
async def test_what_was_revoked(tmp_path: Path, whole: bool) -> None:
    root, key = RootKey.generate(), NodeKey.load_or_create(tmp_path / "node.key")
    charter = write_charter(root, key.node_id, WORKER, time.time() + 30 * DAY, founder=False)
    entry = Revoked(key.node_id, time.time() + DAY, () if whole else (charter.grant.serial,))
    given = sign_revocations(
        root, mesh_id=root.mesh_id, number=1, entries=[entry], issued_at=time.time()
    )
    write_private(tmp_path / "revocations", pack_lists([given]), "revocations")
    settings = {"grants": [encode_charter(charter)], "network": root.mesh_id}
    finding = await find(GRANTS, make_patient(tmp_path, settings))
    cause = "removed from the mesh" if whole else "grant of worker was revoked"
    expect(finding, "problem", cause, "new ticket")


async def test_a_closed_mesh_without_any_grant(tmp_path: Path) -> None:
    NodeKey.load_or_create(tmp_path / "node.key")
    finding = await find(GRANTS, make_patient(tmp_path, {"network": "12" * 20}))
    expect(finding, "problem", "no valid grant", "electrons join")


async def test_a_certificate_that_nobody_renewed(tmp_path: Path) -> None:
    certificate, key = certify(days=(-80, 5.5)).write(tmp_path)
    settings = {"tls_certificate": str(certificate), "tls_key": str(key)}
    patient = make_patient(tmp_path / "data", settings)
    expect(await find(CERTIFICATE, patient), "warning", "runs out in", "not renewed")
    late = make_patient(tmp_path / "data", settings, wall=lambda: time.time() + 8 * DAY)
    expect(await find(CERTIFICATE, late), "problem", "ran out", "renew it")
    certificate.write_text("-----BEGIN NOTHING-----")
    expect(await find(CERTIFICATE, patient), "problem", "cannot be read", "PEM file")


async def test_an_engine_that_hangs(tmp_path: Path) -> None:
    async with tcp_place(hang) as port:
        patient = make_patient(tmp_path, {"engines": [f"http://127.0.0.1:{port}"]})
        expect(await find(ENGINES, patient), "problem", "takes connections", "restart it")


async def test_an_engine_that_answers_500(tmp_path: Path) -> None:
    async with web_place({"/v1/models": {"error": "out of memory"}}, status=500) as url:
        patient = make_patient(tmp_path, {"engines": [url]})
        expect(await find(ENGINES, patient), "problem", "answers with errors", "own log")


async def test_an_engine_that_wants_a_key_and_a_page_that_is_no_engine(tmp_path: Path) -> None:
    async with FakeOpenAI(kind="vllm", api_key="k") as fake, web_place({"/": "hello"}) as url:
        locked = make_patient(tmp_path, {"engines": [fake.url]})
        expect(await find(ENGINES, locked), "problem", "wants an API key", "without a key")
        strange = make_patient(tmp_path, {"engines": [url]})
        expect(await find(ENGINES, strange), "problem", "no known engine", "correct the URL")


async def test_an_engine_that_lists_models_and_generates_nothing(tmp_path: Path) -> None:
    knobs = Knobs(busy=True)
    async with FakeOpenAI(kind="vllm", knobs=knobs) as fake:
        patient = make_patient(tmp_path, {"engines": [fake.url]})
        expect(await find(ENGINES, patient), "problem", "generates nothing", "by hand")
        knobs.busy = False
        assert (await find(ENGINES, patient)).status == "ok"


class StaleNvml:
    """`pynvml` after the driver was updated under a running kernel module (NVML R550)."""

    class NVMLError(Exception):
        value = 18

    def nvmlInit(self) -> None:  # noqa: N802 - the binding's name
        raise self.NVMLError("Driver/library version mismatch")


def test_a_graphics_driver_updated_under_its_module(tmp_path: Path) -> None:
    version = tmp_path / "proc/driver/nvidia/version"
    version.parent.mkdir(parents=True)
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\n")
    facts = look_at(tmp_path, lambda: probe_nvidia(StaleNvml()))
    expect(worst(judge_graphics(facts)), "problem", "module 550.54.14", "restart the machine")


def test_a_driver_whose_library_is_missing(tmp_path: Path) -> None:
    version = tmp_path / "proc/driver/nvidia/version"
    version.parent.mkdir(parents=True)
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\n")
    found = judge_graphics(look_at(tmp_path, Accelerators))
    expect(worst(found), "problem", "library does not answer", "--gpus all")


async def test_a_check_that_hangs_or_breaks_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def stuck(_: Patient) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def broken(_: Patient) -> list[Finding]:
        raise RuntimeError("boom")

    async def well(_: Patient) -> list[Finding]:
        return [ok("three", "Fine")]

    checks = (Check("one", stuck, 0.1), Check("two", broken), Check("three", well))
    found = {
        examined.check.area: examined.findings[0].what
        async for examined in examine_all(make_patient(tmp_path), checks)
    }
    assert found["three"] == "Fine"
    assert "did not finish" in found["one"]
    assert "RuntimeError" in found["two"]
    late = [
        examined.findings[0].what
        async for examined in examine_all(
            make_patient(tmp_path), (Check("one", stuck, 60.0),), seconds=0.1
        )
    ]
    assert late == ["This check was cut off after 0.1 s"]
