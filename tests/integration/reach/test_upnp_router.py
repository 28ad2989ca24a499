"""Ports from a router that speaks UPnP: the real library, real sockets, a strict router."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_interface

import pytest

from chaos.upnp_gateway import Mapping, UpnpGateway, search_socket
from node.port_mapping import PERMANENT_ONLY, TAKEN, RouterError
from node.upnp_router import UpnpRouter, inner_host


@pytest.fixture
async def gateway() -> AsyncIterator[UpnpGateway]:
    made = UpnpGateway("127.0.0.1")
    await made.start(
        socket.create_server(("127.0.0.1", 0)), search_socket("127.0.0.1", 0, group=False)
    )
    yield made
    await made.close()


async def test_a_port_is_forwarded_and_taken_back(gateway: UpnpGateway) -> None:
    router = UpnpRouter(search_at=gateway.search_at)
    await router.open(7718, 7718, 3600.0)
    assert gateway.mappings == {7718: Mapping("127.0.0.1", 7718, 3600)}
    await router.close(7718)
    assert gateway.mappings == {}
    assert gateway.asked == ["AddPortMapping", "DeletePortMapping"]


async def test_refusals_carry_their_reason(gateway: UpnpGateway) -> None:
    router = UpnpRouter(search_at=gateway.search_at)
    gateway.mappings[7718] = Mapping("127.0.0.77", 7718, 0)
    with pytest.raises(RouterError) as taken:
        await router.open(7718, 7718, 3600.0)
    assert taken.value.code == TAKEN
    gateway.refuse_leases = True
    with pytest.raises(RouterError) as permanent:
        await router.open(7718, 7719, 3600.0)
    assert permanent.value.code == PERMANENT_ONLY
    await router.open(7718, 7719, 0.0)
    with pytest.raises(RouterError):
        await router.close(1)


async def test_where_no_router_answers_the_search_ends() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(RouterError, match="no router"):
            await UpnpRouter(search_at=silent.getsockname()).open(7718, 7718, 3600.0)


@pytest.mark.parametrize(
    ("location", "sender", "host"),
    [
        ("http://192.168.1.1:5000/d.xml", "192.168.1.1", "192.168.1.5"),
        ("http://192.168.1.1:5000/d.xml", "192.168.1.9", None),
        ("http://192.168.2.1:5000/d.xml", "192.168.2.1", None),
        ("http://203.0.113.1/d.xml", "203.0.113.1", None),
        ("https://192.168.1.1/d.xml", "192.168.1.1", None),
        ("http://router.local/d.xml", "192.168.1.1", None),
        ("file:///etc/passwd", "192.168.1.1", None),
        ("", "192.168.1.1", None),
    ],
)
def test_only_a_machine_of_an_own_network_that_speaks_for_itself_is_asked(
    location: str, sender: str, host: str | None
) -> None:
    interfaces = (ip_interface("192.168.1.5/24"), ip_interface("203.0.113.5/24"))
    assert inner_host(location, sender, interfaces) == host
