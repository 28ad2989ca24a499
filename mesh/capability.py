"""What a node has, offers and is busy with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mesh.ids import NodeId
from mesh.jobs import Feature

Role = Literal["gateway", "worker", "storage", "relay", "coordinator", "admin"]
NodeState = Literal["starting", "ready", "degraded", "draining", "gone"]
Modality = Literal["text", "image", "audio", "embedding", "video"]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One set of weights as one engine serves it. "llama3" of two digests are two models."""

    name: str
    """The id clients use in `model`; may hold slashes and colons."""
    engine: str
    """Engine kind: demo, ollama, llama.cpp, vllm, openai, ..."""
    digest: str = ""
    """Hash of the weights where the engine tells; "" when unknown."""
    quantisation: str = ""
    context: int = 0
    """Tokens of prompt and answer together; 0 when unknown."""
    modality: Modality = "text"
    features: tuple[Feature, ...] = ()
    description: str = ""
    """One sentence for people, shown in /v1/models."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with what it can take at once on this node."""

    ref: ModelRef
    slots: int
    """Jobs that run at the same time."""
    speed: float = 0.0
    """Measured tokens per second of one job; 0.0 when not yet measured."""


@dataclass(frozen=True, slots=True)
class Load:
    """Soft state of a worker, sent over links and never stored."""

    in_flight: int = 0
    queued: int = 0
    slots: int = 0
    job_seconds: float = 0.0
    """Moving average of how long one job holds a slot; 0.0 when not yet measured."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator that a model can be loaded on."""

    name: str
    memory: int
    """Bytes in all."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a node gives at most, its owner's limits considered."""

    cores: float = 0.0
    memory: int = 0
    """Bytes."""
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True)
class Runnable:
    """A model the node holds and could start on demand, with what that takes."""

    model: str
    engine: str
    memory: int = 0
    """Bytes of main memory while it runs."""
    gpu_memory: int = 0
    """Bytes on one accelerator; 0: it runs without."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What a node says of itself. Travels signed: `mesh.wire.records`."""

    node_id: NodeId
    seq: int
    """Rises with every change; starts from the boot counter, so that a restart is always newer."""
    issued_at: float
    """Unix seconds by the issuer's wall clock; only used to reject what is more than a day off."""
    ttl: float
    """Seconds this record may be believed after it arrived; holders age it by a monotonic clock."""
    addresses: tuple[str, ...] = ()
    """Dialable URLs: tcp://host:port, ws://host:port/mesh, wss://..."""
    roles: tuple[Role, ...] = ()
    state: NodeState = "ready"
    models: tuple[ServedModel, ...] = ()
    version: str = ""
    reason: str = ""
    """Why the state is not `ready`, in words for people; "" when it is."""
    resources: Resources = field(default_factory=Resources)
    runnable: tuple[Runnable, ...] = ()
    grants: tuple[bytes, ...] = ()
    """Encoded grants that show the node to be a member; closed meshes believe nobody else."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A node as this node sees it now."""

    record: NodeRecord
    load: Load = field(default_factory=Load)
    rtt: float | None = None
    """Seconds there and back over the link; None when there is no link."""
    linked: bool = False
