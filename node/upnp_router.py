"""A home router that opens ports when asked: UPnP's Internet Gateway Device, by async-upnp-client.

Anybody in the local network can answer a search. Only who is in one of this machine's own private
networks counts, and only what it serves itself is read, little of it; all it can do is forward a
port, or not: whether anybody comes in there is for peers to say.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import aiohttp

from mesh.links.addresses import own_interfaces
from mesh.links.hosts import Interface, is_inside, plain_host, read_host
from node.port_mapping import RouterError

if TYPE_CHECKING:
    from async_upnp_client.client import UpnpRequester, UpnpService
    from async_upnp_client.const import HttpRequest, HttpResponse

SEARCH_SECONDS = 2.0
"""Within which a router answers a search."""
HTTP_SECONDS = 5.0
MAX_BODY = 256 * 1024
"""Bytes of one answer; descriptions of routers have some ten thousand."""
GATEWAY = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
"""Those of version 2 answer as well (UPnP Device Architecture 2.0, 1.3.2)."""
FORWARDERS = (
    "urn:schemas-upnp-org:service:WANIPConnection:",
    "urn:schemas-upnp-org:service:WANPPPConnection:",
)
DESCRIPTION = "Distributed Electrons"
MULTICAST = ("239.255.255.250", 1900)


def is_installed() -> bool:
    """Whether the extra `upnp` is there."""
    return importlib.util.find_spec("async_upnp_client") is not None


def inner_host(location: str, sender: str, interfaces: tuple[Interface, ...]) -> str | None:
    """This machine's address in the network of a router that answered; None: it is none to ask.

    `location` is where it says that its description is, `sender` where its answer came from. Pure.
    """
    try:
        url = urlsplit(location)
        router = plain_host(url.hostname or "")
        if url.scheme != "http" or router != plain_host(sender) or not is_inside(router):
            return None
    except ValueError:
        return None
    near = (each for each in interfaces if read_host(router) in each.network)
    return next((str(each.ip) for each in near), None)


class UpnpRouter:
    """Implements `node.port_mapping.Router`. Looks for the router anew each time."""

    def __init__(
        self,
        *,
        interfaces: Callable[[], tuple[Interface, ...]] = own_interfaces,
        search_at: tuple[str, int] = MULTICAST,
    ) -> None:
        self._interfaces = interfaces
        self._search_at = search_at

    async def open(self, port: int, outer: int, lease: float) -> None:
        """Forward the router's port `outer` to this machine's `port`. Raises RouterError."""
        await self._call(
            "AddPortMapping",
            lambda host: {
                "NewRemoteHost": "",
                "NewExternalPort": outer,
                "NewProtocol": "TCP",
                "NewInternalPort": port,
                "NewInternalClient": host,
                "NewEnabled": True,
                "NewPortMappingDescription": DESCRIPTION,
                "NewLeaseDuration": int(lease),
            },
        )

    async def close(self, outer: int) -> None:
        """Forward it no more. Raises RouterError."""
        await self._call(
            "DeletePortMapping",
            lambda _: {"NewRemoteHost": "", "NewExternalPort": outer, "NewProtocol": "TCP"},
        )

    async def _call(self, action: str, arguments: Callable[[str], Mapping[str, Any]]) -> None:
        from async_upnp_client.exceptions import UpnpActionError, UpnpError

        location, host = await self._search()
        try:
            async with aiohttp.ClientSession() as session:
                service = await _forwarder(session, location)
                await service.async_call_action(action, **arguments(host))
        except UpnpActionError as error:
            code = int(error.error_code or 0)
            raise RouterError(f"the router refused: {error.error_desc or code}", code) from None
        except (UpnpError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise RouterError(f"the router does not answer properly: {error}") from None
        except KeyError:
            raise RouterError("the router forwards no ports") from None

    async def _search(self) -> tuple[str, str]:
        """Where the router describes itself, and this machine's address towards it."""
        from async_upnp_client.search import SsdpSearchListener

        interfaces = self._interfaces()
        found: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()

        def heard(headers: Any) -> None:
            location = str(headers.get("location", ""))
            host = inner_host(location, str(headers.get("_host", "")), interfaces)
            if host is not None and not found.done():
                found.set_result((location, host))

        listener = SsdpSearchListener(
            callback=heard,
            search_target=GATEWAY,
            target=self._search_at,
            timeout=1,
            connect_callback=lambda: listener.async_search(),
        )
        try:
            await listener.async_start()
            async with asyncio.timeout(SEARCH_SECONDS):
                return await found
        except TimeoutError:
            raise RouterError("no router answers") from None
        except OSError as error:
            raise RouterError(f"the local network cannot be searched: {error}") from None
        finally:
            listener.async_stop()


async def _forwarder(session: aiohttp.ClientSession, location: str) -> UpnpService:
    """The service that forwards ports. Raises KeyError when there is none."""
    from async_upnp_client.client_factory import UpnpFactory

    requester = cast("UpnpRequester", _Requester(session, location))
    device = await UpnpFactory(requester, non_strict=True).async_create_device(location)
    for kind in FORWARDERS:
        for service in device.all_services:
            if service.service_type.startswith(kind):
                return service
    raise KeyError(FORWARDERS)


class _Requester:
    """HTTP with the router and nobody else, in small pieces."""

    def __init__(self, session: aiohttp.ClientSession, location: str) -> None:
        self._session = session
        self._router = urlsplit(location).hostname

    async def async_http_request(self, http_request: HttpRequest) -> HttpResponse:
        """What the library wants fetched. Raises ValueError or what aiohttp raises."""
        from async_upnp_client.const import HttpResponse

        if urlsplit(http_request.url).hostname != self._router:
            raise ValueError("its description leads elsewhere")
        async with (
            asyncio.timeout(HTTP_SECONDS),
            self._session.request(
                http_request.method,
                http_request.url,
                headers=http_request.headers,
                data=http_request.body,
                allow_redirects=False,
            ) as answer,
        ):
            body = await answer.content.read(MAX_BODY + 1)
            while len(body) <= MAX_BODY and (more := await answer.content.read(MAX_BODY)):
                body += more
        if len(body) > MAX_BODY:
            raise ValueError("its description is too long")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpResponse(answer.status, headers, body.decode("utf-8", "replace"))
