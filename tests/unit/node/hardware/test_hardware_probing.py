"""All probes together: fast ones answer, a hanging or failing one is a note."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.hardware import probe as module
from node.hardware.hardware import Accelerator, Accelerators, Container, Hardware, Memory, Network
from node.hardware.probe import Finding, Probe, assemble, probe_hardware, run_probes

GIB = 2**30

Plant = Callable[[str], Path]


@pytest.fixture
def hang() -> Iterator[Probe]:
    """A probe that hangs like a driver does, let go when the test is over."""
    release = threading.Event()
    before = set(threading.enumerate())

    def probe() -> Finding:
        release.wait(30)
        return Network()

    yield probe
    release.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)


def thread_named(name: str) -> threading.Thread:
    """The running thread of a probe."""
    return next(thread for thread in threading.enumerate() if thread.name == name)


def fail() -> Finding:
    """A probe that fails."""
    raise OSError(5, "Input/output error")


async def test_a_container_with_two_cpus_and_four_gibibytes_says_so(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "probe_nvidia", Accelerators)
    root = plant("docker-v2")
    (root / "proc/cpuinfo").write_text("".join(f"processor : {n}\n\n" for n in range(16)))
    (root / "proc/meminfo").write_text("MemTotal: 65000000 kB\nMemAvailable: 60000000 kB\n")
    found = await probe_hardware(tmp_path, root=root)
    assert found.notes == ()
    assert found.processor is not None
    assert (found.processor.logical_cores, found.processor.usable_cores) == (16, 2.0)
    assert found.memory is not None
    assert (found.memory.limit, found.memory.usable) == (4 * GIB, 4 * GIB)
    assert found.memory.total == 65000000 * 1024
    assert found.disk is not None


async def test_a_hanging_probe_is_a_note_and_the_others_answer(hang: Probe) -> None:
    probes: dict[str, Probe] = {"stuck": hang, "memory": lambda: Memory(total=8, available=4)}
    findings, notes = await run_probes(probes, timeout=0.05)
    assert findings == (Memory(total=8, available=4),)
    assert notes == ("stuck: no answer within 0.05 s",)


async def test_an_answer_after_the_time_limit_disturbs_nobody() -> None:
    problems: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    release = threading.Event()

    def late() -> Finding:
        release.wait(30)
        return Network()

    findings, notes = await run_probes({"late": late}, timeout=0.01)
    release.set()
    thread_named("probe late").join(5)
    await asyncio.sleep(0)
    assert (findings, len(notes), problems) == ((), 1, [])


async def test_a_failing_probe_is_a_note_and_the_others_answer() -> None:
    findings, notes = await run_probes({"disk": fail, "network": Network}, timeout=5)
    assert findings == (Network(),)
    assert notes == ("disk: OSError: [Errno 5] Input/output error",)


async def test_a_long_error_is_cut() -> None:
    def talk() -> Finding:
        raise RuntimeError("x" * 10_000)

    _, notes = await run_probes({"noisy": talk}, timeout=5)
    assert len(notes[0]) == module.MAX_NOTE


async def test_probes_run_at_the_same_time() -> None:
    meeting = threading.Barrier(4)

    def meet() -> Finding:
        meeting.wait(5)
        return Network()

    findings, notes = await run_probes({f"probe {n}": meet for n in range(4)}, timeout=10)
    assert (len(findings), notes) == (4, ())


def test_a_hanging_probe_does_not_hold_up_the_end_of_the_loop(hang: Probe) -> None:
    asyncio.run(run_probes({"stuck": hang}, timeout=0.01))
    assert thread_named("probe stuck").is_alive()


def test_a_hanging_probe_does_not_hold_up_the_end_of_the_process() -> None:
    program = (
        "import asyncio, threading\n"
        "from node.hardware.probe import run_probes\n"
        "stuck = {'stuck': threading.Event().wait}\n"
        "print(asyncio.run(run_probes(stuck, timeout=0.01))[1][0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "stuck: no answer within 0.01 s\n"


def test_an_answer_after_the_loop_has_closed_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crashes: list[object] = []
    monkeypatch.setattr(threading, "excepthook", crashes.append)
    release = threading.Event()

    def late() -> Finding:
        release.wait(30)
        return Network()

    asyncio.run(run_probes({"late": late}, timeout=0.01))
    thread = thread_named("probe late")
    release.set()
    thread.join(5)
    assert not thread.is_alive()
    assert crashes == []


async def test_when_every_probe_fails_the_node_still_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(module.standard_probes(tmp_path, tmp_path))
    monkeypatch.setattr(module, "standard_probes", lambda *_: dict.fromkeys(names, fail))
    found = await probe_hardware(tmp_path)
    assert found == Hardware(system=found.system, notes=found.notes)
    assert [note.partition(":")[0] for note in found.notes] == names


async def test_the_running_machine_answers_every_question(tmp_path: Path) -> None:
    found = await probe_hardware(tmp_path, timeout=20)
    assert found.processor is not None
    assert found.memory is not None
    assert found.disk is not None
    assert found.network.addresses
    assert 0 < found.memory.usable <= found.memory.total


@pytest.mark.parametrize(("system", "asked"), [("Darwin", True), ("Linux", False)])
def test_only_a_mac_is_asked_as_a_mac(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, asked: bool
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    assert ("Apple GPUs" in module.standard_probes(tmp_path, tmp_path)) == asked


def test_what_the_drivers_know_goes_before_what_the_bus_knows() -> None:
    known = Accelerator(vendor="NVIDIA", name="H100", address="0000:17:00.0", usable=True)
    bare = Accelerator(vendor="NVIDIA", name="NVIDIA GPU 10de:2330", address="0000:17:00.0")
    found = assemble([Accelerators((known,)), Accelerators((bare,)), Container()])
    assert found.accelerators == found.gpus == (known,)
    assert found.notes == ()


def test_displays_and_dead_cards_are_no_gpus_to_compute_on() -> None:
    cards = (
        Accelerator(vendor="1a03", name="display", kind="display", usable=True),
        Accelerator(vendor="NVIDIA", name="dead"),
        Accelerator(vendor="Habana", name="npu", kind="npu", usable=True),
    )
    assert Hardware(accelerators=cards).gpus == ()
