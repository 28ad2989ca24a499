"""A router that forwards ports when asked: UPnP over real sockets, strict about what it takes.

Written after the UPnP Forum's WANIPConnection:1 (November 2001), 2.4.16 and 2.4.18, and the UPnP
Device Architecture 1.0, 1.2 (search) and 3.2 (SOAP).
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Final, cast

from aiohttp import web

from chaos.upnp_documents import DESCRIPTION, FAULT, RESPONSE, SERVICE, service_description

SEARCH_PORT: Final = 1900
GROUP: Final = "239.255.255.250"
MAX_LEASE: Final = 604_800
"""Seconds: what WANIPConnection:2 allows; real routers take it from there."""
ARGUMENTS: Final = {
    "AddPortMapping": (
        "NewRemoteHost",
        "NewExternalPort",
        "NewProtocol",
        "NewInternalPort",
        "NewInternalClient",
        "NewEnabled",
        "NewPortMappingDescription",
        "NewLeaseDuration",
    ),
    "DeletePortMapping": ("NewRemoteHost", "NewExternalPort", "NewProtocol"),
}


@dataclass(frozen=True, slots=True)
class Mapping:
    """One forwarded port."""

    host: str
    port: int
    lease: int


class Refusal(Exception):
    """An error of UPnP."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class UpnpGateway:
    """Answers on an address of its own. `changed` is told whenever the mappings are others."""

    def __init__(
        self, host: str, *, changed: Callable[[dict[int, Mapping]], None] = lambda _: None
    ) -> None:
        self.host = host
        self.mappings: dict[int, Mapping] = {}
        self.refuse_leases = False
        """Like routers that forward for ever only."""
        self.asked: list[str] = []
        """Actions in the order in which they came."""
        self._changed = changed
        self._runner: web.AppRunner | None = None
        self._search: asyncio.DatagramTransport | None = None
        self._location = ""

    @property
    def search_at(self) -> tuple[str, int]:
        """Where it hears searches that are sent to it alone."""
        assert self._search is not None
        address, port = self._search.get_extra_info("sockname")[:2]
        return address, port

    async def start(self, http: socket.socket, search: socket.socket) -> None:
        """Serve on these bound sockets."""
        application = web.Application()
        application.router.add_get("/description.xml", self._describe)
        application.router.add_get("/service.xml", self._describe_service)
        application.router.add_post("/control", self._control)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.SockSite(self._runner, http).start()
        self._location = f"http://{self.host}:{http.getsockname()[1]}/description.xml"
        loop = asyncio.get_running_loop()
        self._search, _ = await loop.create_datagram_endpoint(lambda: _Search(self), sock=search)

    async def close(self) -> None:
        if self._search is not None:
            self._search.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def answer(self, search: str) -> bytes | None:
        """What a search is answered; None when it is not for gateways."""
        wanted = re.search(r"^ST: *(.*InternetGatewayDevice:1)\r$", search, re.M | re.I)
        if not search.startswith("M-SEARCH ") or wanted is None:
            return None
        lines = (
            "HTTP/1.1 200 OK",
            "CACHE-CONTROL: max-age=120",
            "EXT:",
            f"LOCATION: {self._location}",
            "SERVER: lab UPnP/1.0 gateway/1",
            f"ST: {wanted[1]}",
            f"USN: uuid:lab::{wanted[1]}",
            "",
            "",
        )
        return "\r\n".join(lines).encode()

    async def _describe(self, request: web.Request) -> web.Response:
        return web.Response(text=DESCRIPTION, content_type="text/xml")

    async def _describe_service(self, request: web.Request) -> web.Response:
        return web.Response(text=service_description(ARGUMENTS), content_type="text/xml")

    async def _control(self, request: web.Request) -> web.Response:
        name = request.headers.get("SOAPAction", "").strip('"').rpartition("#")[2]
        self.asked.append(name)
        try:
            self._act(name, await request.text())
        except Refusal as refusal:
            fault = FAULT.format(code=refusal.code)
            return web.Response(status=500, text=fault, content_type="text/xml")
        text = RESPONSE.format(name=name, service=SERVICE)
        return web.Response(text=text, content_type="text/xml")

    def _act(self, name: str, body: str) -> None:
        if name not in ARGUMENTS:
            raise Refusal(401)
        given = {key: unescape(text) for key, text in re.findall(r"<(New\w+)>([^<]*)</\1>", body)}
        empty = dict.fromkeys(re.findall(r"<(New\w+) */>", body), "")
        values = {**empty, **given}
        if set(values) != set(ARGUMENTS[name]):
            raise Refusal(402)
        if values["NewRemoteHost"]:
            raise Refusal(726)
        if values["NewProtocol"] != "TCP":
            raise Refusal(402)
        outer = int(values["NewExternalPort"])
        if name == "DeletePortMapping":
            if self.mappings.pop(outer, None) is None:
                raise Refusal(714)
        else:
            self._add(outer, values)
        self._changed(dict(self.mappings))

    def _add(self, outer: int, values: dict[str, str]) -> None:
        lease = int(values["NewLeaseDuration"])
        new = Mapping(values["NewInternalClient"], int(values["NewInternalPort"]), lease)
        if not 0 <= lease <= MAX_LEASE or values["NewEnabled"] != "1":
            raise Refusal(402)
        if self.refuse_leases and lease:
            raise Refusal(725)
        known = self.mappings.get(outer)
        if known is not None and known.host != new.host:
            raise Refusal(718)
        self.mappings[outer] = new


class _Search(asyncio.DatagramProtocol):
    """Hears searches."""

    def __init__(self, gateway: UpnpGateway) -> None:
        self._gateway = gateway
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._gateway.answer(data.decode("utf-8", "replace"))
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


def search_socket(host: str, port: int = SEARCH_PORT, *, group: bool = True) -> socket.socket:
    """A bound socket for searches; in the group of all UPnP devices of that network."""
    search = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    search.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    search.bind(("" if group else host, port))
    if group:
        member = socket.inet_aton(GROUP) + socket.inet_aton(host)
        search.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    search.setblocking(False)
    return search
