"""The route table: which method and path mean what. Pure look-ups, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

H = TypeVar("H")


@dataclass(frozen=True, slots=True)
class Route(Generic[H]):
    """One line of the table. A path that ends in "/" (but "/" itself) takes what follows."""

    method: str
    path: str
    handler: H
    open: bool = False
    """Answered without credentials; deny is the default."""
    label: str = ""
    """Name in the metrics; the path when empty."""

    @property
    def name(self) -> str:
        """What counters call this route."""
        return self.label or self.path


class RouteTable(Generic[H]):
    """All routes, looked up by exact path first, then by prefix."""

    def __init__(self, routes: Iterable[Route[H]]) -> None:
        self._exact: dict[tuple[str, str], Route[H]] = {}
        self._prefixes: list[Route[H]] = []
        for route in routes:
            if route.path.endswith("/") and route.path != "/":
                self._prefixes.append(route)
            else:
                self._exact[route.method, route.path] = route

    def find(self, method: str, path: str) -> tuple[Route[H], str] | None:
        """The route and what follows its prefix. HEAD is answered wherever GET is."""
        if method == "HEAD":
            method = "GET"
        route = self._exact.get((method, path))
        if route is not None:
            return route, ""
        for route in self._prefixes:
            if route.method == method and path.startswith(route.path) and path != route.path:
                return route, path[len(route.path) :]
        return None

    def methods(self, path: str) -> list[str]:
        """Every method the path answers to; empty for an unknown path."""
        found = {method for method, known in self._exact if known == path}
        found |= {r.method for r in self._prefixes if path.startswith(r.path) and path != r.path}
        if "GET" in found:
            found.add("HEAD")
        return sorted(found | {"OPTIONS"}) if found else []
