"""The one place where concrete classes are built and plugged into each other, top to bottom."""

from __future__ import annotations

import secrets

from mesh.ports import StreamKind
from node.admissions import Follow, NodeAdmissions, Papers, build_admissions, follow_revocations
from node.base import Base, build_base
from node.belonging import Belonging, build_revoking
from node.config import Config
from node.coordinating import Coordinating, GroupDesk, build_coordinating
from node.coverage import AssignmentDoor, CoverageDesk
from node.discovering import build_discovery
from node.door.building import build_doors
from node.gateway.accounts import LocalAccounts
from node.gateway.admission_handlers import AdmissionHandlers
from node.gateway.gateway import Gateway
from node.gateway.group_handlers import GroupHandlers
from node.gateway.owner_handlers import OwnerHandlers
from node.gateway.service_handlers import ServiceHandlers
from node.gateway.settings import GatewaySettings, Suppliers
from node.node import ElectronsNode
from node.parts import Discovery, Work
from node.report import Report
from node.working import build_work


def build(config: Config) -> ElectronsNode:
    """A node that is not started yet. Needs a running loop and the locked data folder.

    Raises StorageError when the folder's files are unusable.
    """
    base = build_base(config)
    discovery = build_discovery(base)
    work = build_work(
        config,
        discovery,
        node_id=base.node_id,
        links=base.links,
        trust=base.trust,
        own_grants=lambda: base.standing.grants,
        clock=base.clock,
        tasks=base.tasks,
        rng=base.rng,
    )
    belonging = _build_belonging(base, discovery)
    papers = Papers(base.key, base.mesh_id, config, base.standing)
    follow = follow_revocations(papers, belonging.revoking, base.clock, base.tasks)
    coordinating = _build_coordinating(base, discovery, work, follow) if base.coordinates else None
    admissions = build_admissions(
        papers, base.links, discovery.directory, coordinating, base.clock, base.tasks, base.rng
    )
    group = GroupDesk(base.links, coordinating.coordination if coordinating else None)
    doors = build_doors(
        config, base.links, discovery.directory, base.inherited, lambda each: gateway.take(each)
    )
    report = Report(
        config=config,
        roles=base.roles,
        belonging=belonging,
        admissions=admissions,
        links=base.links,
        discovery=discovery,
        work=work,
        group=group,
        doors=doors,
        trouble=base.trouble,
    )
    token = secrets.token_urlsafe(32)
    gateway = _build_gateway(base, discovery, work, report, token, coordinating, group, admissions)
    return ElectronsNode(
        config=config,
        roles=base.roles,
        inherited=base.inherited.get("http"),
        token=token,
        links=base.links,
        discovery=discovery,
        belonging=belonging,
        admissions=admissions,
        work=work,
        report=report,
        gateway=gateway,
        doors=doors,
        coordinating=coordinating,
        tasks=base.tasks,
    )


def _build_belonging(base: Base, discovery: Discovery) -> Belonging:
    revoking = build_revoking(
        base.config.network,
        own=base.node_id,
        trust=base.trust,
        links=base.links,
        directory=discovery.directory,
        data_dir=base.config.data_dir,
        clock=base.clock,
        tasks=base.tasks,
        rng=base.rng,
    )
    return Belonging(base.standing, base.trust, base.links, base.clock, revoking)


def _build_coordinating(
    base: Base, discovery: Discovery, work: Work, follow: Follow
) -> Coordinating:
    return build_coordinating(
        on_state=follow,
        own=base.node_id,
        founds=base.standing.current.founds,
        data_dir=base.config.data_dir,
        links=base.links,
        directory=discovery.directory,
        obey_here=work.activation.obey,
        clock=base.clock,
        rng=base.rng,
        tasks=base.tasks,
    )


def _build_gateway(
    base: Base,
    discovery: Discovery,
    work: Work,
    report: Report,
    token: str,
    coordinating: Coordinating | None,
    group: GroupDesk,
    admissions: NodeAdmissions | None,
) -> Gateway:
    config = base.config
    desk = CoverageDesk(
        own=base.node_id,
        links=base.links,
        view=discovery.directory.view,
        own_models=work.catalog.models,
    )
    if coordinating is not None:
        desk.coordinate(coordinating.assignment.report)
    door = AssignmentDoor(obey=work.activation.obey, report=desk.own_report)
    base.links.serve(StreamKind.ASSIGNMENT, door.serve)
    return Gateway(
        node_id=base.node_id,
        dispatch=work.dispatch,
        view=discovery.directory.view,
        accounts=LocalAccounts(
            access=config.access or "local", admin_token=token, key_digests=config.api_keys
        ),
        suppliers=Suppliers(
            node_info=report.node_info,
            own_models=work.catalog.models,
            health=report.health,
            aliases=report.aliases,
            counters=report.counters,
        ),
        services=ServiceHandlers(
            coverage=desk.ask, targets=coordinating.targets if coordinating else None
        ),
        group=GroupHandlers(group.ask, group.note),
        admission=AdmissionHandlers(admissions.office if admissions else None),
        owner=OwnerHandlers(work.comfort),
        settings=GatewaySettings(
            allowed_origins=config.cors_origins,
            default_privacy=config.default_privacy,
            first_byte_seconds=config.deadline_seconds,
        ),
        mesh_websocket=base.links.accept_websocket,
        traces=work.dispatch.traces,
        clock=base.clock,
    )
