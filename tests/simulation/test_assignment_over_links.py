"""Assignments over links, in virtual time: leaders tell, nodes follow, records show, gaps close."""

from __future__ import annotations

import asyncio

from mesh.capability import Role
from mesh.ports import StreamKind
from mesh.targets import ServiceTarget
from mesh.wire.assignment import Assign, Told, decode_answer, encode
from node.coverage import NOBODY_TELLS
from tests.simulation.assigning_mesh import AssigningMesh, assigning_mesh, models_of, until
from tests.simulation.virtual_time import run_virtual

COORDINATOR: tuple[Role, ...] = ("worker", "coordinator")
A, B = ServiceTarget("a", "a"), ServiceTarget("b", "b")


async def covered(mesh: AssigningMesh) -> float:
    return await until(lambda: all(mesh.providers(target.model) for target in mesh.targets))


def test_declared_services_are_started_and_taken_over_when_a_node_dies() -> None:
    async def story() -> None:
        async with assigning_mesh() as mesh:
            leader = await mesh.join("a", roles=COORDINATOR)
            leader.lead(1)
            x = await mesh.join("a", "b")
            y = await mesh.join("b")
            mesh.ask_for(A, B)
            assert await covered(mesh) < 5.0
            assert leader.served() == ["a"]
            assert (x.served(), y.served()) == ([], ["b"])
            await mesh.crash(y)
            assert await covered(mesh) < 5.0
            assert x.served() == ["b"]

    run_virtual(story())


def test_a_restarted_lone_node_gets_all_its_services_again() -> None:
    async def story() -> None:
        async with assigning_mesh() as mesh:
            leader = await mesh.join(roles=COORDINATOR)
            leader.lead(1)
            x = await mesh.join("a", "b")
            mesh.ask_for(A, B)
            await covered(mesh)
            await mesh.crash(x)
            again = await mesh.join("a", "b")
            assert await covered(mesh) < 10.0
            assert again.served() == ["a", "b"]

    run_virtual(story())


def test_a_new_leader_goes_on_with_what_runs_and_an_old_one_is_not_followed() -> None:
    async def story() -> None:
        async with assigning_mesh() as mesh:
            old = await mesh.join(roles=COORDINATOR)
            new = await mesh.join(roles=COORDINATOR)
            x = await mesh.join("a", "b")
            old.lead(1)
            mesh.ask_for(A)
            await covered(mesh)
            old.lead(None)
            new.lead(2)
            mesh.ask_for(A, B)
            await covered(mesh)
            assert len(x.made) == 2
            assert not x.made[0].closed
            old.lead(1)  # it does not know yet that it was replaced, and sees no targets
            link = await old.links.connect(x.node_id, x.links.addresses)
            data = await link.call(StreamKind.ASSIGNMENT, encode(Assign(1, 99, ())), timeout=5.0)
            told = decode_answer(data)
            assert isinstance(told, Told)
            assert (told.accepted, told.term) == (False, 2)
            assert x.served() == ["a", "b"]

    run_virtual(story())


def test_a_node_without_the_role_cannot_assign() -> None:
    async def story() -> None:
        async with assigning_mesh() as mesh:
            x = await mesh.join("a")
            stranger = await mesh.join()
            link = await stranger.links.connect(x.node_id, x.links.addresses)
            message = Assign(9, 9, (("a", ""),))
            told = decode_answer(
                await link.call(StreamKind.ASSIGNMENT, encode(message), timeout=5.0)
            )
            assert isinstance(told, Told)
            assert not told.accepted
            assert "only a coordinator" in told.reason
            assert x.made == []
            assert x.activation.obey(Assign(0, 0, ())).accepted  # the epoch did not move either

    run_virtual(story())


def test_a_service_moves_without_a_moment_without_it() -> None:
    """Only x could run b, but a fills it: a moves to y first."""

    async def story() -> None:
        async with assigning_mesh() as mesh:
            leader = await mesh.join(roles=COORDINATOR)
            leader.lead(1)
            x = await mesh.join("a", "b", memory=1)
            mesh.ask_for(A)
            await covered(mesh)
            x.busy.add("test:a")
            y = await mesh.join("a", memory=1)
            mesh.ask_for(A, B)
            await until(lambda: "a" not in x.served())
            assert y.served() == ["a"]
            await asyncio.sleep(3.0)
            assert not x.made[0].closed  # an accepted job still runs
            assert x.served() == []
            x.busy.clear()
            await until(lambda: x.served() == ["b"])
            assert x.made[0].closed

    run_virtual(story())


def test_a_node_that_refuses_is_spared_and_another_is_asked() -> None:
    async def story() -> None:
        async with assigning_mesh() as mesh:
            leader = await mesh.join(roles=COORDINATOR)
            leader.lead(1)
            x = await mesh.join("a", "a2")
            x.activation._available_memory = lambda: 0  # its owner's own programs fill it
            mesh.ask_for(A)
            await until(lambda: "could not start it" in " ".join(reasons(leader, "a")))
            y = await mesh.join("a")
            assert await covered(mesh) < 5.0
            assert y.served() == ["a"]
            assert x.made == []

    def reasons(leader: object, name: str) -> tuple[str, ...]:
        report = leader.service.report()  # type: ignore[attr-defined]
        return next(each.reasons for each in report.services if each.service == name)

    run_virtual(story())


def test_any_node_learns_of_gaps_from_a_coordinator_and_says_when_there_is_none() -> None:
    async def story() -> None:
        async with assigning_mesh() as mesh:
            leader = await mesh.join(roles=COORDINATOR)
            other = await mesh.join(roles=COORDINATOR)
            leader.lead(1)
            x = await mesh.join("a")
            mesh.ask_for(A, B)
            await until(lambda: mesh.providers("a"))
            for asking in (x, other, leader):
                report = await asking.desk.ask()
                assert report.coordinator == leader.node_id, asking.roles
                assert models_of(report) == {"a": "ok", "b": "critical"}
                assert report.services[0].reasons == ("no node holds model b",)
            await mesh.crash(leader)
            await asyncio.sleep(0.1)
            assert "does not lead" in (await x.desk.ask()).note
            await mesh.crash(other)
            alone = await x.desk.ask()
            assert (alone.note, alone.coordinator) == (NOBODY_TELLS, None)
            assert models_of(alone) == {"a": "unknown"}

    run_virtual(story())


def test_an_unreachable_node_is_told_once_it_is_there_again() -> None:
    async def story() -> None:
        async with assigning_mesh() as mesh:
            leader = await mesh.join(roles=COORDINATOR)
            leader.lead(1)
            x = await mesh.join("a")
            mesh.network.partition([leader.node_id], [x.node_id])
            mesh.ask_for(A)
            await asyncio.sleep(20.0)
            assert x.made == []
            mesh.network.heal()
            assert await covered(mesh) < 10.0

    run_virtual(story())


def test_a_removed_service_ends() -> None:
    async def story() -> None:
        async with assigning_mesh() as mesh:
            leader = await mesh.join(roles=COORDINATOR)
            leader.lead(1)
            x = await mesh.join("a", "b")
            mesh.ask_for(A, B)
            await covered(mesh)
            mesh.ask_for(B)
            await until(lambda: x.served() == ["b"])

    run_virtual(story())
