"""Builds what works and gets work done: engines, the host of jobs, the owner's rules, dispatch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from mesh.clock import SystemClock
from mesh.identity.trust import Trust
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.ports import StreamKind
from node.assigning import build_activation
from node.comfort import Comfort
from node.config import Config
from node.dispatch.mesh_dispatch import MeshDispatch
from node.gpu_use import GpuMeter
from node.memory_cap import GpuMemoryCap, MemoryCap
from node.owner_file import OwnerFile
from node.parts import Discovery, Work
from node.privacy import build_confidants
from node.settling import Settling
from services.availability import Rules
from services.catalog import Catalog, local_ports
from services.engine_choice import choose_engines
from services.host import Host
from services.limits import Limits

OWNER_FILE = "owner.json"


def build_work(
    config: Config,
    discovery: Discovery,
    *,
    node_id: NodeId,
    links: LinkPool,
    trust: Trust,
    own_grants: Callable[[], Sequence[bytes]],
    clock: SystemClock,
    tasks: Tasks,
    rng: Random,
) -> Work:
    """Serves JOB streams from now on. `own_grants`: this node's own, encoded, as they are now."""
    catalog = _build_catalog(config, clock, tasks, rng)
    confidants = build_confidants(
        config,
        node_id,
        links=links,
        record=discovery.directory.record,
        trust=trust,
        own_grants=own_grants,
    )
    memory = MemoryCap(config.memory_cap)
    gpu_memory = GpuMemoryCap(config.gpu_memory_cap)
    host = Host(
        engines=catalog,
        clock=clock,
        tasks=tasks,
        queue_limit=config.queue_limit,
        slots=config.slots,
        over_memory_cap=lambda: memory.exceeded() or gpu_memory.exceeded(),
        on_load=discovery.directory.set_load,
        offering=catalog.offering,
        refusal=confidants.refusal,
    )
    links.serve(StreamKind.JOB, host.serve)
    comfort = _build_comfort(config, catalog, host, (memory, gpu_memory), clock, tasks)
    activation = build_activation(
        catalog=catalog,
        host=host,
        limits=lambda: comfort.limits,
        assignable=config.assignable,
        clock=clock,
        tasks=tasks,
    )
    dispatch = MeshDispatch(
        node_id=node_id,
        links=links,
        view=discovery.directory.view,
        lookup=discovery.table,
        catalog=catalog,
        host=host,
        aliases=config.aliases,
        clock=clock,
        tasks=tasks,
        rng=rng,
        settling=Settling(catalog, discovery.directory.first_look),
        confidants=confidants,
    )
    return Work(catalog, host, dispatch, activation, comfort)


def _build_comfort(
    config: Config,
    catalog: Catalog,
    host: Host,
    caps: tuple[MemoryCap, GpuMemoryCap],
    clock: SystemClock,
    tasks: Tasks,
) -> Comfort:
    memory, gpu_memory = caps
    return Comfort(
        file=OwnerFile(config.data_dir / OWNER_FILE),
        rules=Rules(config.schedule, config.pause_on_battery, config.pause_on_gpu_use),
        configured=Limits(config.slots, config.memory_cap, config.gpu_memory_cap),
        host=host,
        memory=memory,
        gpu_memory=gpu_memory,
        meter=GpuMeter(lambda: local_ports(catalog.places())),
        clock=clock,
        tasks=tasks,
    )


def _build_catalog(config: Config, clock: SystemClock, tasks: Tasks, rng: Random) -> Catalog:
    choice = choose_engines(
        config.engines,
        slots=config.slots,
        demo_rate=config.demo_rate,
        model_file=config.model_file,
    )
    return Catalog(
        engines=choice.engines,
        discovery=choice.discovery,
        fallback=choice.fallback,
        aliases=config.aliases,
        clock=clock,
        tasks=tasks,
        rng=rng,
    )
