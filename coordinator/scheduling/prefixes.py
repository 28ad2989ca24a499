"""Who has lately worked on the beginning of a prompt, and may have kept what it computed.

Only hashes are kept, of texts with the tenant's name before them: one tenant cannot find out by
waiting times what another has asked. Python's own string hash is keyed per process
(SipHash, https://docs.python.org/3/reference/datamodel.html#object.__hash__, 2026-11); two prompts
that collide cost a worse choice, nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from mesh.ids import NodeId
from mesh.jobs import JobSpec

MAX_PREFIXES = 4_096
"""Beginnings of prompts remembered; the one used longest ago goes first."""
MAX_NODES = 4
"""Nodes remembered per beginning, the newest first."""
KEPT_SECONDS = 300.0
"""How long a worker is taken to have kept it."""
LEAST_CHARACTERS = 1_024
"""Shorter beginnings are read so fast that they are no reason to prefer a node."""
MAX_MESSAGES = 64
"""Messages of a conversation that are looked at."""
MAX_CHARACTERS = 65_536
"""Characters of a prompt that are looked at; a longer beginning counts as this long."""
MAX_MARKS = 8
"""Beginnings remembered of one prompt: the shortest two, and the longest."""


class Mark(NamedTuple):
    """One beginning of a prompt: where a message ends."""

    digest: int
    characters: int


class _Seen(NamedTuple):
    at: float
    nodes: tuple[NodeId, ...]


def marks_of(job: JobSpec, tenant: str) -> tuple[Mark, ...]:
    """The beginnings of a job's prompt, shortest first; none when it is short."""
    digest, total = hash((tenant, job.model)), 0
    marks: list[Mark] = []
    for message in job.messages[:MAX_MESSAGES]:
        text = _text(message)
        total += len(text)
        if total > MAX_CHARACTERS:
            break
        digest = hash((digest, message.get("role"), text))
        if total >= LEAST_CHARACTERS:
            marks.append(Mark(digest, total))
    if isinstance(job.prompt, str) and len(job.prompt) >= LEAST_CHARACTERS:
        marks += _blocks(job.prompt[:MAX_CHARACTERS], digest)
    if len(marks) > MAX_MARKS:
        marks = marks[:2] + marks[2 - MAX_MARKS :]
    return tuple(marks)


class Prefixes:
    """Beginnings of prompts and the nodes that worked on them; at most MAX_PREFIXES."""

    def __init__(self, most: int = MAX_PREFIXES) -> None:
        self._most = most
        self._seen: OrderedDict[int, _Seen] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def remember(self, marks: tuple[Mark, ...], node: NodeId, now: float) -> None:
        """A node works on a prompt with these beginnings."""
        for mark in marks:
            seen = self._seen.pop(mark.digest, None)
            others = () if seen is None or now - seen.at > KEPT_SECONDS else seen.nodes
            kept = (node, *(other for other in others if other != node))[:MAX_NODES]
            self._seen[mark.digest] = _Seen(now, kept)
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)

    def find(self, marks: tuple[Mark, ...], now: float) -> Mapping[NodeId, int]:
        """Nodes that have seen a beginning, each with the characters of the longest one."""
        found: dict[NodeId, int] = {}
        for mark in reversed(marks):
            seen = self._seen.get(mark.digest)
            if seen is not None and now - seen.at <= KEPT_SECONDS:
                for node in seen.nodes:
                    found.setdefault(node, mark.characters)
        return found


def _blocks(prompt: str, digest: int) -> list[Mark]:
    """A plain prompt has no messages: its beginnings double in length."""
    marks, size = [], LEAST_CHARACTERS
    while size <= len(prompt):
        marks.append(Mark(hash((digest, prompt[:size])), size))
        size *= 2
    return marks


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, (list, tuple)):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""
