"""`make bench`: runs the benchmarks and writes the README's table and `benchmarks/last.json`.

Takes about five minutes on two cores. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import daemons, dht_lookup, gateway_path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
LAST = ROOT / "benchmarks" / "last.json"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

Figures = Mapping[str, Any]
Row = tuple[str, str, str]


def path_rows(path: Figures) -> Iterator[Row]:
    """The request path: requests, latency, streams."""
    for clients in (16, 64):
        run = path[f"clients_{clients}"]
        rates = {name: run[name]["requests_per_second"] for name in ("electrons", "baseline")}
        cpu = {name: run[name]["cpu_us_per_request"] for name in ("electrons", "baseline")}
        text = f"{rates['electrons']:,.0f} against {rates['baseline']:,.0f}: "
        text += f"{run['ratio']['median']:.2f} × (CPU a request: {cpu['electrons']:.0f} against "
        text += f"{cpu['baseline']:.0f} µs, 1 : {cpu['baseline'] / cpu['electrons']:.2f})"
        yield f"requests/s, {clients} clients, not streaming", text, "≥ 2.0 ×"
    one = path["clients_1"]
    added = [one["electrons"][p] - one["direct"][p] for p in ("p50_ms", "p99_ms")]
    base = one["baseline"]["p99_ms"] - one["direct"]["p99_ms"]
    text = f"p50 {added[0]:.2f} ms, p99 {added[1]:.2f} ms (baseline's p99 {base:.2f} ms)"
    yield "added latency over direct, 1 client", text, "p50 ≤ 1.5 ms, p99 ≤ the baseline's"
    yield from stream_rows(path)


def stream_rows(path: Figures) -> Iterator[Row]:
    many, few, crowd = path["streams_128"], path["streams_32"], path["streams_1000"]["electrons"]
    ours, theirs = many["electrons"], many["baseline"]
    share = ours["cpu_us_per_token"] / theirs["cpu_us_per_token"]
    text = f"p50 {ours['transit_p50_ms']:.1f} ms (baseline {theirs['transit_p50_ms']:.1f}), "
    text += f"CPU a token {share:.2f} × the baseline"
    yield "128 streams at 50 tokens/s: transit", text, "p50 ≤ 5 ms, ≤ 0.7 ×"
    text = f"transit p50 {crowd['transit_p50_ms']:.1f} ms, p99 {crowd['transit_p99_ms']:.0f} ms, "
    text += f"{crowd['missing_tokens']} tokens missing, {crowd['errors']} errors"
    yield "1,000 streams at 5 tokens/s (`--slots 1024`)", text, "none behind (aim)"
    first = few["electrons"]["first_token_p50_ms"] - few["direct"]["first_token_p50_ms"]
    base = few["baseline"]["first_token_p50_ms"] - few["direct"]["first_token_p50_ms"]
    text = f"{first:.1f} ms (baseline {base:.1f})"
    yield "time to first token over direct, 32 streams, p50", text, "≤ 10 ms"


def dht_rows(dht: Figures) -> Iterator[Row]:
    """Look-ups among 200 nodes in four processes, real sockets and TLS."""
    cold, warm, dead = dht["cold"], dht["warm"], dht["after_30_percent_died"]
    text = f"p50 {cold['p50_ms']:.1f} ms, p99 {cold['p99_ms']:.0f} ms"
    yield "DHT look-up, 200 nodes, cold", text, ""
    text = f"p50 {warm['p50_ms']:.1f} ms, p99 {warm['p99_ms']:.0f} ms"
    yield "DHT look-up, 200 nodes, warm", text, "p50 ≤ 10 ms"
    text = f"{dead['found_percent']:.1f} % found, p99 {dead['p99_ms']:.0f} ms"
    yield "DHT look-up after 30 % were killed", text, "all found, p99 ≤ 1 s"


def open_dht_rows(dht: Figures) -> Iterator[Row]:
    """The same in a mesh of strangers, where a search goes three ways and hears five holders."""
    text = f"cold p50 {dht['cold']['p50_ms']:.1f} ms, warm p50 {dht['warm']['p50_ms']:.1f} ms"
    yield "the same in an open mesh, defended against liars", text, ""


def daemon_rows(daemon: Figures) -> Iterator[Row]:
    """Full daemons on loopback."""
    mesh, start = daemon["mesh"], daemon["start"]
    text = f"{mesh['all_know_after_last_start_s']:.2f} s after the last was ready"
    yield f"{mesh['nodes']} daemons: all know all", text, "≤ 5 s"
    yield "a join is known to all", f"{1e3 * mesh['join_known_by_all_s']:.0f} ms", "≤ 500 ms"
    for name, what, most in (
        ("idle", "`--engine none`", "80 MiB"),
        ("idle_demo", "with demo", "110 MiB"),
    ):
        idle = daemon[name]
        text = f"{idle['memory_mib']:.0f} MiB, {idle['cpu_percent']:.2f} % CPU, "
        text += f"{idle['kB_per_second']:.2f} kB/s"
        yield f"idle node in a mesh of five, {what}", text, f"≤ {most}, ≤ 0.5 %, ≤ 5 kB/s"
    text = f"{start['median_s']:.2f} s (most {start['most_s']:.2f})"
    yield "`electrons up` to its ready line", text, "≤ 1.5 s"


def render(report: Figures) -> str:
    """The README's table."""
    rows = [
        *path_rows(report["path"]),
        *dht_rows(report["dht"]),
        *open_dht_rows(report["dht_open"]),
        *daemon_rows(report["daemons"]),
    ]
    lines = [
        f"`make bench` wrote this on {report['machine']}, {report['date']}. The baseline is",
        "`aiohttp` on both hops with mutual TLS, on uvloop, measured in turn with the product in",
        "the same run; everything under test shares one core.",
        "",
        "| figure | measured | target |",
        "|---|---|---|",
        *(f"| {name} | {text} | {target} |" for name, text, target in rows),
    ]
    return "\n".join(lines)


def write_readme(table: str) -> None:
    """Replace what stands between the marks."""
    before, rest = README.read_text().split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def run() -> dict[str, Any]:
    """Measure everything; progress goes to the terminal."""
    report: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {_cores()} cores, Python {platform.python_version()}",
    }
    print("request path, about 3 minutes", flush=True)
    report["path"] = gateway_path.run()
    print("look-ups, about 1 minute", flush=True)
    report["dht"] = dht_lookup.measure(200, "closed")
    report["dht_open"] = dht_lookup.measure(200, "open")
    print("daemons, about 2 minutes", flush=True)
    report["daemons"] = daemons.run()
    return report


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table-only", action="store_true", help="from benchmarks/last.json")
    if parser.parse_args().table_only:
        figures = json.loads(LAST.read_text())
    else:
        figures = run()
        LAST.write_text(json.dumps(figures, indent=1) + "\n")
    text = render(figures)
    write_readme(text)
    print(text)
