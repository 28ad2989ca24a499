"""Counters of the gateway in Prometheus' text format.

Source: Prometheus documentation, "Exposition formats", text format 0.0.4, 2026-11.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "electrons_"
_NAME = re.compile(r"[^a-zA-Z0-9_]")
TTFT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds."""


class Histogram:
    """Counts observations in fixed buckets."""

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self._buckets = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._buckets, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Cumulative buckets, sum and count."""
        total = 0
        for bound, count in zip(self._buckets, self._counts, strict=False):
            total += count
            yield f'{name}_bucket{{le="{bound:g}"}} {total}'
        total += self._counts[-1]
        yield f'{name}_bucket{{le="+Inf"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """What the gateway counts. Labels come from the route table, never from a client."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        """By (route, status)."""
        self.in_flight = 0
        """Requests being served now."""
        self.tokens_in = 0
        self.tokens_out = 0
        self.disconnects = 0
        """Clients that left before their answer was complete."""
        self.first_token = Histogram(TTFT_BUCKETS)

    def count(self, route: str, status: int) -> None:
        """One request was answered."""
        key = (route, status)
        self.requests[key] = self.requests.get(key, 0) + 1

    def render(self, others: Mapping[str, float]) -> bytes:
        """The whole page; `others` are counters of other parts, ending in _total when they rise."""
        lines = [*self._own_lines(), *_other_lines(others)]
        return ("\n".join(lines) + "\n").encode()

    def _own_lines(self) -> Iterator[str]:
        yield f"# TYPE {PREFIX}http_requests_total counter"
        for (route, status), count in sorted(self.requests.items()):
            yield f'{PREFIX}http_requests_total{{route="{route}",status="{status}"}} {count}'
        yield from _single("http_requests_in_flight", self.in_flight)
        yield from _single("prompt_tokens_total", self.tokens_in)
        yield from _single("completion_tokens_total", self.tokens_out)
        yield from _single("client_disconnects_total", self.disconnects)
        name = f"{PREFIX}time_to_first_token_seconds"
        yield f"# TYPE {name} histogram"
        yield from self.first_token.lines(name)


def _single(name: str, value: float) -> Iterator[str]:
    kind = "counter" if name.endswith("_total") else "gauge"
    yield f"# TYPE {PREFIX}{name} {kind}"
    yield f"{PREFIX}{name} {value:g}" if isinstance(value, float) else f"{PREFIX}{name} {value}"


def _other_lines(others: Mapping[str, float]) -> Iterator[str]:
    for name in sorted(others):
        yield from _single(_NAME.sub("_", name.removeprefix(PREFIX)), others[name])
