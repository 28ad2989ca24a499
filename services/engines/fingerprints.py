"""How engines are told apart: by what they answer, never by port. Data, most specific first.

Several engines imitate others (KoboldCpp answers Ollama's and OpenAI's paths), so the page that
only one of them has is asked first. Pages and ports as documented by each project in 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.engines.openai_probe import Kind

EngineKind = Kind | Literal["ollama"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One engine kind, the page that gives it away, and where it listens unless told otherwise."""

    kind: EngineKind
    path: str
    matches: Callable[[Any], bool]
    """Whether the JSON of the page is this engine's."""
    ports: tuple[int, ...]


def _field(payload: Any, name: str) -> Any:
    return payload.get(name) if isinstance(payload, Mapping) else None


def _entries(payload: Any) -> list[Mapping[str, Any]]:
    data = _field(payload, "data")
    return [one for one in data if isinstance(one, Mapping)] if isinstance(data, list) else []


def _is_koboldcpp(payload: Any) -> bool:
    return bool(_field(payload, "result") == "KoboldCpp")


def _is_ollama(payload: Any) -> bool:
    return isinstance(_field(payload, "version"), str)


def _is_lmstudio(payload: Any) -> bool:
    return any("state" in one and "compatibility_type" in one for one in _entries(payload))


def _is_llama(payload: Any) -> bool:
    return isinstance(_field(payload, "total_slots"), int)


def _is_tgi(payload: Any) -> bool:
    has_model = isinstance(_field(payload, "model_id"), str)
    return has_model and isinstance(_field(payload, "max_concurrent_requests"), int)


def _is_vllm(payload: Any) -> bool:
    return any(one.get("owned_by") == "vllm" for one in _entries(payload))


def _is_openai(payload: Any) -> bool:
    return any(isinstance(one.get("id"), str) for one in _entries(payload))


GENERIC = Fingerprint("openai", "/v1/models", _is_openai, ports=())
"""Something that lists models. Never taken unasked: it may be a proxy its owner pays for."""

FINGERPRINTS = (
    Fingerprint("koboldcpp", "/api/extra/version", _is_koboldcpp, ports=(5001,)),
    Fingerprint("ollama", "/api/version", _is_ollama, ports=(11434,)),
    Fingerprint("lmstudio", "/api/v0/models", _is_lmstudio, ports=(1234,)),
    Fingerprint("llama.cpp", "/props", _is_llama, ports=(8080, 9931)),
    Fingerprint("tgi", "/info", _is_tgi, ports=(8080, 3000)),
    Fingerprint("vllm", "/v1/models", _is_vllm, ports=(8000,)),
    GENERIC,
)
PORTS = tuple(dict.fromkeys(port for one in FINGERPRINTS for port in one.ports))

DAEMON_HEADER = b"x-electrons-node"
DAEMON_SERVER = b"electrons"


def is_daemon(headers: Mapping[bytes, bytes]) -> bool:
    """Whether an answer comes from a mesh daemon, this one or another: offering its models as our
    own would send jobs round in circles."""
    return DAEMON_HEADER in headers or headers.get(b"server", b"").startswith(DAEMON_SERVER)
