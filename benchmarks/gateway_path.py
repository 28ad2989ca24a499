"""The request path: client → gateway → link → worker → engine, against aiohttp on both hops.

Everything under test on one core, load generator and engine on the other; the targets take turns
within a round, so that a noisy machine disturbs all alike. `python -m benchmarks.gateway_path`.
"""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import json
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.load import Figures, StreamFigures, percentile, run_requests, run_streams
from benchmarks.processes import LOAD_CORE, Child, Stage, pinned, stage
from benchmarks.upstream import MODEL

T = TypeVar("T")

ROUNDS = 5
SECONDS = 1.5


@dataclass
class Target:
    """Something that answers chat completions, and the processes it costs."""

    name: str
    url: str
    children: tuple[Child, ...]

    def cpu_seconds(self) -> float:
        return sum(child.cpu_seconds() for child in self.children)


def make_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(private)


def wait_for_model(url: str, model: str, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with urllib.request.urlopen(f"{url}/v1/models") as answer:
            if model in {entry["id"] for entry in json.load(answer)["data"]}:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{url} never listed {model}")


def start_targets(processes: Stage) -> list[Target]:
    """direct, the baseline, and two daemons with default settings."""
    make_certificate(processes.folder)
    engine = processes.module("benchmarks.upstream", core=LOAD_CORE)
    engine_url = engine.hello["url"]
    folder = str(processes.folder)
    behind = processes.module("benchmarks.baseline", "worker", engine_url, folder)
    front = processes.module("benchmarks.baseline", "gateway", behind.hello["url"], folder)
    return [
        Target("direct", engine_url, (engine,)),
        Target("baseline", front.hello["url"], (front, behind)),
        start_pair(processes, engine),
    ]


def start_pair(processes: Stage, engine: Child, slots: int | None = None) -> Target:
    """A gateway without an engine and a worker with it; default settings unless slots are given."""
    gateway = processes.node("--engine", "none")
    more = ["--slots", str(slots)] if slots else []
    joined = ["--join", gateway.hello["mesh"], *more]
    worker = processes.node("--engine", engine.hello["url"], *joined)
    wait_for_model(gateway.hello["http"], MODEL)
    return Target("electrons", gateway.hello["http"], (gateway, worker))


def alternate(
    targets: list[Target], rounds: int, measure: Callable[[Target], T]
) -> dict[str, list[tuple[T, float]]]:
    """Measure all targets in turn, `rounds` times; with the CPU seconds each run cost."""
    results: dict[str, list[tuple[T, float]]] = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in targets:
            before = target.cpu_seconds()
            figure = measure(target)
            results[target.name].append((figure, target.cpu_seconds() - before))
    return results


def measure_rates(targets: list[Target], clients: int, rounds: int) -> dict[str, Any]:
    def measure(target: Target) -> Figures:
        return uvloop.run(run_requests(target.url, MODEL, clients, SECONDS))

    results = alternate(targets, rounds, measure)
    report: dict[str, Any] = {}
    for name, runs in results.items():
        report[name] = {
            "requests_per_second": median(figure.rate for figure, _ in runs),
            "p50_ms": 1e3 * median(figure.percentile(50) for figure, _ in runs),
            "p99_ms": 1e3 * median(figure.percentile(99) for figure, _ in runs),
            "cpu_us_per_request": 1e6 * median(cpu / max(1, f.requests) for f, cpu in runs),
            "errors": sum(figure.errors for figure, _ in runs),
        }
    ratios = [
        ours.rate / theirs.rate
        for (ours, _), (theirs, _) in zip(results["electrons"], results["baseline"], strict=True)
    ]
    report["ratio"] = {"median": median(ratios), "least": min(ratios), "most": max(ratios)}
    return report


def measure_streams(
    targets: list[Target], streams: int, tokens: int, interval: float, rounds: int
) -> dict[str, Any]:
    def measure(target: Target) -> StreamFigures:
        return uvloop.run(run_streams(target.url, MODEL, streams, tokens, interval))

    report: dict[str, Any] = {}
    for name, runs in alternate(targets, rounds, measure).items():
        report[name] = {
            "tokens_per_second": median(f.tokens / f.seconds for f, _ in runs),
            "transit_p50_ms": 1e3 * median(percentile(f.transits, 50) for f, _ in runs),
            "transit_p99_ms": 1e3 * median(percentile(f.transits, 99) for f, _ in runs),
            "first_token_p50_ms": 1e3 * median(percentile(f.first_tokens, 50) for f, _ in runs),
            "gap_p99_ms": 1e3 * median(percentile(f.gaps, 99) for f, _ in runs),
            "cpu_us_per_token": 1e6 * median(cpu / max(1, f.tokens) for f, cpu in runs),
            "errors": sum(f.errors for f, _ in runs),
            "missing_tokens": sum(streams * tokens - f.tokens for f, _ in runs),
        }
    return report


def median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """All figures of the request path."""
    report: dict[str, Any] = {}
    with stage() as processes, pinned():
        targets = start_targets(processes)
        for clients in (1, 16, 64):
            report[f"clients_{clients}"] = measure_rates(targets, clients, rounds)
        report["streams_32"] = measure_streams(targets, 32, 100, 0.02, rounds)
        report["streams_128"] = measure_streams(targets, 128, 100, 0.02, rounds)
    with stage() as processes, pinned():
        crowd = start_pair(processes, processes.module("benchmarks.upstream", core=LOAD_CORE), 1024)
        report["streams_1000"] = measure_streams([crowd], 1000, 25, 0.2, 1)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    print(json.dumps(run(parser.parse_args().rounds), indent=1))
