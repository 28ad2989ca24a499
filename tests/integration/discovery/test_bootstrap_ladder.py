"""From nobody to somebody, rung by rung, over real sockets."""

from __future__ import annotations

from pathlib import Path

from dht.join_address import JoinAddress, parse_join_address
from dht.name_rung import resolve_all
from dht.remembered import RememberedPeers
from mesh.ids import NodeId
from tests.integration.discovery.conftest import RealMesh, until

NOBODY = JoinAddress("tcp://127.0.0.1:9")


async def test_an_address_without_an_id_is_enough(mesh: RealMesh) -> None:
    seed, node = await mesh.start("seed"), await mesh.start("node")
    states: list[str] = []
    ladder = node.look_for_peers(NOBODY, JoinAddress(seed.links.addresses[0]))
    ladder._on_state = states.append
    await until(lambda: ladder.state == "joined")
    await until(lambda: node.knows() == {seed.id})
    assert states == ["joined"]


async def test_an_address_where_another_node_answers_is_not_joined(mesh: RealMesh) -> None:
    seed, node = await mesh.start("seed"), await mesh.start("node")
    ladder = node.look_for_peers(JoinAddress(seed.links.addresses[0], NodeId("12" * 20)))
    await until(lambda: ladder.state == "isolated")
    assert not node.links.all()


async def test_one_that_finds_nobody_is_isolated_and_joins_when_somebody_comes(
    mesh: RealMesh,
) -> None:
    node = await mesh.start("node")
    ladder = node.look_for_peers(NOBODY)
    await until(lambda: ladder.state == "isolated")
    late = await mesh.start("late")
    late.look_for_peers(node.address)
    await until(lambda: ladder.state == "joined")
    mesh.nodes.remove(late)
    await late.leave()
    await until(lambda: ladder.state == "isolated")


async def test_an_isolated_node_keeps_trying_and_joins_its_seed(mesh: RealMesh) -> None:
    seed = await mesh.start("seed")
    address, port = seed.address, seed.links.port
    mesh.nodes.remove(seed)
    await seed.leave()
    node = await mesh.start("node")
    ladder = node.look_for_peers(JoinAddress(address.url))
    await until(lambda: ladder.state == "isolated")
    await mesh.start("seed again", port=port)
    await until(lambda: ladder.state == "joined")


async def test_a_given_node_that_comes_later_is_found_by_those_who_have_joined(
    mesh: RealMesh,
) -> None:
    """It knows nobody itself, as the first coordinator of a mesh whose nodes start all at once."""
    absent = await mesh.start()
    url, port = absent.address.url, absent.links.port
    mesh.nodes.remove(absent)
    await absent.leave()
    one, two = await mesh.start(), await mesh.start()
    one.look_for_peers(JoinAddress(url), two.address)
    two.look_for_peers(JoinAddress(url), one.address)
    await until(lambda: two.id in one.knows() and one.id in two.knows())
    late = await mesh.start(port=port)
    late.look_for_peers()
    await until(lambda: late.knows() == {one.id, two.id})


async def test_peers_are_remembered_over_a_restart(mesh: RealMesh, tmp_path: Path) -> None:
    seed, node = await mesh.start("seed"), await mesh.start("node")
    node.look_for_peers(seed.address, remembered=RememberedPeers(tmp_path / "peers.json"))
    await until(lambda: node.knows() == {seed.id})
    mesh.nodes.remove(node)
    await node.leave()
    again = await mesh.start("again")
    again.look_for_peers(remembered=RememberedPeers(tmp_path / "peers.json"))
    await until(lambda: again.knows() == {seed.id})


async def test_a_dns_name_stands_for_every_address_behind_it(mesh: RealMesh) -> None:
    seed, node = await mesh.start("seed"), await mesh.start("node")
    name = parse_join_address(f"localhost:{seed.links.port}")
    urls = {each.url for each in await resolve_all([name])}
    assert f"tcp://127.0.0.1:{seed.links.port}" in urls
    node.look_for_peers(dns_names=[name])
    await until(lambda: node.knows() == {seed.id})


async def test_names_that_do_not_resolve_are_left_out() -> None:
    bad = parse_join_address("does-not-exist.invalid:7400")
    kept = parse_join_address("wss://node.example.org/mesh")
    assert await resolve_all([bad, kept]) == [kept]
