"""Each fault a judgement may be told of is named with its cause and its cure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from node.config_addresses import Address
from node.doctor.certificate import CertificateFacts, judge_certificate
from node.doctor.clock import ClockFacts, judge_clock
from node.doctor.edge import EdgeFacts, judge_edge
from node.doctor.engines import EngineFacts, judge_engine, judge_words
from node.doctor.finding import Finding, Status
from node.doctor.folder import FolderFacts, judge_folder, judge_room
from node.doctor.graphics import GraphicsFacts, judge_graphics
from node.doctor.listening import PortFacts, judge_port
from node.doctor.membership import judge_jobs, judge_membership, judge_notes
from node.doctor.memory import judge_files, judge_memory
from node.doctor.names import judge_names
from node.doctor.outbound import judge_https, judge_tcp, judge_udp
from node.doctor.reach import judge_extras, judge_reach, judge_relays
from node.doctor.settings import judge_privacy
from node.doctor.software import judge_age, judge_python, judge_release
from node.doctor.targets import Target
from node.hardware.hardware import Accelerator, Container, Memory
from tests.unit.node.doctor.patients import make_answer, worst

GIB, MIB, DAY, NOW = 2**30, 2**20, 86_400.0, 1_800_000_000.0
FOLDER = Path("/data")
RELAY = Target("relay", "tcp", "192.0.2.7", 7718)
HTTPS = Target("edge router", "https", "192.0.2.8", 443)
AMD = Accelerator("AMD", "RX", address="0000:03:00.0", driver="amdgpu")
NOUVEAU = Accelerator("NVIDIA", "RTX", address="0000:01:00.0", driver="nouveau")
SMALL = Memory(64 * GIB, 100 * MIB, 200 * MIB)

Judge = Callable[[], Finding | Sequence[Finding]]

FAULTS: dict[str, tuple[Judge, Status, str, str]] = {
    "a clock that is slow": (
        lambda: judge_clock(ClockFacts(NOW, (-400.0, -401.0), 2)),
        "problem", "400 s behind 2 other clocks", "set its clock",
    ),
    "a clock that is a little fast": (
        lambda: judge_clock(ClockFacts(NOW, (45.0,), 1)),
        "warning", "45 s ahead of 1 other clock", "set its clock",
    ),
    "a clock without a battery": (
        lambda: judge_clock(ClockFacts(0.0)), "problem", "1970-01-01", "set its clock",
    ),
    "a clock that is being set": (
        lambda: judge_clock(ClockFacts(NOW, (0.0,), 1, stepped=3.0)),
        "warning", "jumped by +3.0 s", "only one program",
    ),
    "a clock that went back": (
        lambda: judge_clock(ClockFacts(NOW, (0.0,), 1, newest_file=NOW + 3 * DAY)),
        "warning", "3 days from the future", "set its clock",
    ),
    "a folder that is a file": (
        lambda: judge_folder(FOLDER, FolderFacts(True, is_folder=False)),
        "problem", "is not a folder", "--data-dir",
    ),
    "a folder that others may read": (
        lambda: judge_folder(FOLDER, FolderFacts(True, private=False)),
        "warning", "Other users", "chmod 700 /data",
    ),
    "a folder of somebody else": (
        lambda: judge_folder(FOLDER, FolderFacts(True, owned=False)),
        "problem", "belongs to another user", "chown",
    ),
    "a folder on a network file system": (
        lambda: judge_folder(FOLDER, FolderFacts(True, file_system="nfs4")),
        "warning", "network file system (nfs4)", "local disk",
    ),
    "a disk that is full": (
        lambda: judge_room(FOLDER, 100 * GIB, 10 * MIB),
        "problem", "10 MiB of 100.0 GiB", "free at",
    ),
    "a disk that is nearly full": (
        lambda: judge_room(FOLDER, 100 * GIB, 500 * MIB), "warning", "500 MiB", "free 1.0 GiB",
    ),
    "a container with little memory": (
        lambda: judge_memory(SMALL, Container("docker", memory=200 * MIB), None),
        "problem", "200 MiB only", "memory limit",
    ),
    "a machine without free memory": (
        lambda: judge_memory(Memory(8 * GIB, 100 * MIB), Container(), None),
        "warning", "Only 100 MiB", "end other programs",
    ),
    "a cap above what there is": (
        lambda: judge_memory(Memory(8 * GIB, 4 * GIB), Container(), 16 * GIB),
        "warning", "memory_cap is 16.0 GiB", "lower memory_cap",
    ),
    "few open files": (lambda: judge_files(256), "warning", "256 files", "ulimit -n"),
    "an old Python": (lambda: judge_python((3, 9)), "problem", "Python 3.9 is too old", "3.11"),
    "a program that was updated under the node": (
        lambda: judge_release("2.0", "1.0"), "warning", "release 1.0", "electrons update",
    ),
    "an old release": (
        lambda: judge_age(NOW - 200 * DAY, NOW), "warning", "200 days ago", "electrons update",
    ),
    "no DNS": (
        lambda: judge_names({"edge.example": "no answer", "a.example": "no answer"}),
        "problem", "None of the names", "/etc/resolv.conf",
    ),
    "one misspelt name": (
        lambda: judge_names({"edge.exmaple": "unknown", "a.example": ""}),
        "problem", "edge.exmaple leads nowhere", "spelling",
    ),
    "a firewall that drops": (
        lambda: judge_tcp({RELAY: "timeout", HTTPS: "timeout"}),
        "problem", "vanish on the way out", "firewall",
    ),
    "one place that is down": (
        lambda: judge_tcp({RELAY: "open", HTTPS: "refused"}),
        "warning", "Nothing listens at edge router 192.0.2.8:443", "whether it runs",
    ),
    "no network at all": (
        lambda: judge_tcp({RELAY: "unreachable"}), "problem", "no way to any", "Wi-Fi",
    ),
    "a closed port 443": (
        lambda: judge_https({HTTPS: "timeout", RELAY: "open"}),
        "problem", "443 is closed", "runs the network",
    ),
    "blocked UDP": (
        lambda: judge_udp("192.0.2.9:3478", False), "warning", "does not answer over UDP", "relays",
    ),
    "an edge router that is down": (
        lambda: judge_edge(EdgeFacts("edge.example", error="refused")),
        "problem", "edge.example does not answer", "URL",
    ),
    "a web site for an edge router": (
        lambda: judge_edge(EdgeFacts("www.example", 404)), "problem", "status 404", "`edge`",
    ),
    "an edge router of another mesh": (
        lambda: judge_edge(EdgeFacts("edge.example", 200, True, 0)),
        "warning", "knows nobody of this mesh", "`network`",
    ),
    "an occupied port": (
        lambda: judge_port(PortFacts("--mesh", Address("0.0.0.0", 7718), error=98, holder="x")),
        "problem", "in use by x", "another port with --mesh",
    ),
    "an address of another machine": (
        lambda: judge_port(PortFacts("--http", Address("192.0.2.1", 80), error=99)),
        "problem", "not an address of this machine", "--http",
    ),
    "a privileged port": (
        lambda: judge_port(PortFacts("--http", Address("127.0.0.1", 80), error=13)),
        "problem", "may not be opened by this user", "1024",
    ),
    "a certificate that ran out": (
        lambda: judge_certificate(CertificateFacts(0.0, NOW - 2 * DAY), NOW),
        "problem", "ran out 2 days ago", "renew it",
    ),
    "a certificate of tomorrow": (
        lambda: judge_certificate(CertificateFacts(NOW + DAY, NOW + 90 * DAY), NOW),
        "problem", "not valid yet", "clock",
    ),
    "a certificate that nobody renewed": (
        lambda: judge_certificate(CertificateFacts(0.0, NOW + 5 * DAY), NOW),
        "warning", "runs out in 5 days", "renewed",
    ),
    "a privacy class that nobody has": (
        lambda: judge_privacy("own", engines=False, own=False, founded=True),
        "warning", "nobody may serve", "own_nodes",
    ),
    "trust in a mesh without an owner": (
        lambda: judge_privacy("trusted", engines=False, own=False, founded=False),
        "warning", "mesh of no owner", "own_nodes",
    ),
    "no link": (
        lambda: judge_membership(make_answer(state="isolated", links=0), given=True),
        "problem", "no link to any other node", "ways out",
    ),
    "joined, but every link is gone": (
        lambda: judge_membership(make_answer(links=0), given=True), "problem", "no link", "clock",
    ),
    "alone": (
        lambda: judge_membership(make_answer(state="first", links=0), given=False),
        "warning", "alone", "--join",
    ),
    "a pause that was forgotten": (
        lambda: judge_jobs(make_answer(availability={"open": False, "reason": "paused"})),
        "warning", "takes no jobs", "electrons resume",
    ),
    "no model": (
        lambda: judge_jobs(make_answer(models=[])), "warning", "serves no model", "engines",
    ),
    "a NAT without a relay": (
        lambda: judge_reach("private", relayed=False),
        "warning", "has no relay", "UPnP",
    ),
    "a private node without what would make it direct": (
        lambda: judge_extras("private", {"punch": "makes links direct"}),
        "warning", "extra punch is not installed", "pip install",
    ),
    "what the node has noted itself": (
        lambda: judge_notes(["127.0.0.1:8000 does not answer"]),
        "warning", "1 note for its owner", "electrons status",
    ),
    "dead relays": (
        lambda: judge_relays({RELAY: False}, "private"),
        "problem", "None of the 1 relays", "ways out",
    ),
    "an engine that is not there": (
        lambda: judge_engine(EngineFacts("127.0.0.1:8000", "absent")),
        "problem", "does not answer", "start it",
    ),
    "an engine that loads": (
        lambda: judge_engine(EngineFacts("127.0.0.1:8000", "slow", 1)),
        "warning", "no token", "wait",
    ),
    "an engine without models": (
        lambda: judge_engine(EngineFacts("127.0.0.1:11434", "no models")),
        "problem", "has no model", "ollama pull",
    ),
    "no engine found": (
        lambda: judge_words(("auto",), False, False), "warning", "No engine was found", "--engine",
    ),
    "llama without its library": (
        lambda: judge_words(("llama",), False, False), "problem", "library is not", "[llama]",
    ),
    "a graphics driver that was half updated": (
        lambda: judge_graphics(
            GraphicsFacts(notes=("NVIDIA driver: Driver/library version mismatch",), module="550.1")
        ),
        "problem", "module 550.1 and its library", "restart the machine",
    ),
    "a driver without its library": (
        lambda: judge_graphics(GraphicsFacts(module="550.54")),
        "problem", "550.54 is loaded", "--gpus",
    ),
    "nouveau": (
        lambda: judge_graphics(GraphicsFacts((NOUVEAU,))),
        "warning", "cannot be computed", "nouveau",
    ),
    "ROCm without its device": (
        lambda: judge_graphics(GraphicsFacts((AMD,))), "warning", "AMD graphics card", "/dev/kfd",
    ),
    "ROCm without the right": (
        lambda: judge_graphics(GraphicsFacts((AMD,), kfd=True)), "warning", "AMD", "'render'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_cure(fault: str) -> None:
    judge, status, cause, cure = FAULTS[fault]
    found = judge()
    finding = found if isinstance(found, Finding) else worst(found)
    assert (finding.status, cause in finding.what, cure in finding.cure) == (status, True, True), (
        finding
    )


WELL: dict[str, Judge] = {
    "clock": lambda: judge_clock(ClockFacts(NOW, (0.4, -2.0), 2, 0.01, NOW)),
    "folder": lambda: judge_folder(FOLDER, FolderFacts(True, file_system="ext4")),
    "disk": lambda: judge_room(FOLDER, 100 * GIB, 50 * GIB),
    "memory": lambda: judge_memory(Memory(8 * GIB, 4 * GIB), Container(), 2 * GIB),
    "files": lambda: judge_files(65_536),
    "Python": lambda: judge_python((3, 13)),
    "release": lambda: judge_release("1.0", "1.0"),
    "age": lambda: judge_age(NOW - 3 * DAY, NOW),
    "names": lambda: judge_names({"edge.example": ""}),
    "ways out": lambda: judge_tcp({RELAY: "open"}),
    "443": lambda: judge_https({HTTPS: "open"}),
    "UDP": lambda: judge_udp("192.0.2.9:3478", True),
    "edge": lambda: judge_edge(EdgeFacts("edge.example", 200, True, 3)),
    "port": lambda: judge_port(PortFacts("--http", Address("127.0.0.1", 7717), ours=True)),
    "certificate": lambda: judge_certificate(CertificateFacts(0.0, NOW + 60 * DAY), NOW),
    "privacy": lambda: judge_privacy("own", engines=True, own=False, founded=False),
    "mesh": lambda: judge_membership(make_answer(), given=True),
    "jobs": lambda: judge_jobs(make_answer()),
    "public": lambda: judge_reach("public", relayed=False),
    "relayed": lambda: judge_reach("private", relayed=True),
    "relays": lambda: judge_relays({RELAY: True}, "private"),
    "engine": lambda: judge_engine(EngineFacts("127.0.0.1:8000", "well", 1, True)),
    "no graphics": lambda: judge_graphics(GraphicsFacts()),
}


@pytest.mark.parametrize("area", WELL)
def test_what_is_well_needs_no_cure(area: str) -> None:
    found = WELL[area]()
    for finding in [found] if isinstance(found, Finding) else found:
        assert (finding.status, finding.cure) == ("ok", "")
