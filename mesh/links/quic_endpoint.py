"""A QUIC endpoint of the `iroh` library: dials through holes, tells others what it sees of them.

iroh's own relays and look-ups are switched off: which endpoint is where is told over our links.
Its keys are made for each start and prove nothing about a node; the mesh's handshake does.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.metadata
import ipaddress
import logging
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from mesh.errors import DialError
from mesh.lifecycle import Tasks
from mesh.wire.punch import MAX_PLACE

log = logging.getLogger(__name__)

PIPE, OBSERVE = b"distributed-electrons/pipe/1", b"distributed-electrons/observe/1"
DIAL_EVERY = 0.1
"""Seconds between dials of one place: the first ones meet a closed door, and QUIC itself repeats
its first packet only after a second."""
DIALS = 30
DIAL_PATIENCE = 1.5
"""Seconds for one dial."""
OBSERVE_SECONDS = 3.0
MEET_SECONDS = 5.0
"""For the other side's connection to come."""
MAX_ARRIVING = 64
"""Connections that are being accepted at one time."""
FAST_VERSIONS = ("1.2.",)
"""Versions whose byte-by-byte copying is known, and replaced."""


class QuicEndpoint:
    """Open it with `open_endpoint`; its owner closes `tasks` and then it."""

    def __init__(self, endpoint: Any, tasks: Tasks) -> None:
        self._endpoint = endpoint
        self._tasks = tasks
        self._expected: dict[bytes, asyncio.Future[Any]] = {}
        self._arriving = 0
        self.id: bytes = endpoint.id().to_bytes()
        self.port = int(endpoint.bound_sockets()[0].rpartition(":")[2])
        tasks.supervise(self._accept, "quic accept")

    async def close(self) -> None:
        """Release the socket."""
        await self._endpoint.close()

    async def observe(self, endpoint: bytes, place: str) -> str:
        """Where an observer sees this endpoint. Raises DialError."""
        try:
            async with asyncio.timeout(OBSERVE_SECONDS):
                connection = await self._endpoint.connect(_address(endpoint, (place,)), OBSERVE)
                stream = await connection.accept_uni()
                data: bytes = await stream.read_to_end(MAX_PLACE)
                connection.close(0, b"")
        except TimeoutError:
            raise DialError(f"no UDP answer from {place}") from None
        except Exception as error:  # noqa: BLE001 - the library's errors have no public base class
            raise DialError(f"{place}: {error}") from None
        seen = data.decode("ascii", "replace")
        if not is_place(seen):
            raise DialError(f"{place} tells nonsense")
        return seen

    async def dial(self, endpoint: bytes, places: Sequence[str]) -> tuple[Any, Any, str]:
        """A connection through a hole, with a stream on it and where it leads. Raises DialError."""
        connection = await self._keep_dialling(endpoint, places, PIPE)
        try:
            stream = await connection.open_bi()
        except Exception as error:  # noqa: BLE001 - as above
            raise DialError(f"the hole closed again: {error}") from None
        return connection, stream, _place_of(connection)

    async def meet(self, endpoint: bytes, places: Sequence[str]) -> tuple[Any, Any, str]:
        """Open the hole from this side, and take the connection that comes. Raises DialError."""
        if endpoint in self._expected:
            raise DialError("that endpoint is expected already")
        arrival = self._expected[endpoint] = asyncio.get_running_loop().create_future()
        knocking = self._tasks.spawn(self._knock(endpoint, places), "knock")
        try:
            async with asyncio.timeout(MEET_SECONDS):
                connection = await arrival
                return connection, await connection.accept_bi(), _place_of(connection)
        except TimeoutError:
            raise DialError("nobody came through the hole") from None
        except Exception as error:  # noqa: BLE001 - as above
            raise DialError(f"the hole closed again: {error}") from None
        finally:
            self._expected.pop(endpoint, None)
            knocking.cancel()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    async def _knock(self, endpoint: bytes, places: Sequence[str]) -> None:
        """Its packets are what opens this side's door; an answer is of no use."""
        try:
            (await self._keep_dialling(endpoint, places, OBSERVE)).close(0, b"")
        except DialError as error:
            log.debug("knocked in vain: %s", error)

    async def _keep_dialling(self, endpoint: bytes, places: Sequence[str], alpn: bytes) -> Any:
        address = _address(endpoint, places)
        dials: set[asyncio.Task[Any]] = set()
        try:
            for number in range(DIALS + round(DIAL_PATIENCE / DIAL_EVERY)):
                if number < DIALS:
                    dials.add(self._tasks.spawn(self._dial_once(address, alpn), "punch"))
                if not dials:
                    break
                done, dials = await asyncio.wait(
                    dials, timeout=DIAL_EVERY, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if not task.cancelled() and (connection := task.result()) is not None:
                        return connection
        finally:
            for task in dials:
                task.add_done_callback(_close_unused)
                task.cancel()
        raise DialError(f"no way through to {', '.join(places) or 'nowhere'}")

    async def _dial_once(self, address: Any, alpn: bytes) -> Any | None:
        try:
            async with asyncio.timeout(DIAL_PATIENCE):
                return await self._endpoint.connect(address, alpn)
        except TimeoutError:
            return None
        except Exception as error:  # noqa: BLE001 - as above
            log.debug("punch: %s", error)
            return None

    async def _accept(self) -> None:
        while (incoming := await self._endpoint.accept_next()) is not None:
            if self._arriving >= MAX_ARRIVING:
                await incoming.refuse()
            else:
                self._arriving += 1
                self._tasks.spawn(self._take(incoming), "quic arrival")

    async def _take(self, incoming: Any) -> None:
        try:
            async with asyncio.timeout(OBSERVE_SECONDS):
                seen = await incoming.remote_addr()
                accepting = await incoming.accept()
                alpn = await accepting.alpn()
                connection = await accepting.connect()
                if alpn == OBSERVE:
                    await _tell(connection, getattr(seen, "addr", ""))
                    return
                arrival = self._expected.get(connection.remote_id().to_bytes())
                if arrival is None or arrival.done():
                    connection.close(0, b"")
                else:
                    arrival.set_result(connection)
        except TimeoutError:
            return
        except Exception as error:  # noqa: BLE001 - strangers' connections may fail in any way
            log.debug("quic arrival failed: %s", error)
        finally:
            self._arriving -= 1


async def open_endpoint(host: str, port: int, tasks: Tasks) -> QuicEndpoint:
    """Bind UDP, at another port where that one is taken. Raises DialError."""
    iroh = load_iroh()
    if iroh is None:
        raise DialError("the library iroh is not installed: pip install '.[punch]'")
    _hasten(iroh)
    for place in (f"{host}:{port}", f"{host}:0"):
        options = iroh.EndpointOptions(
            bind_addr=place, alpns=[PIPE, OBSERVE], relay_mode=iroh.RelayMode.disabled()
        )
        try:
            return QuicEndpoint(await iroh.Endpoint.bind(options), tasks)
        except Exception as error:  # noqa: BLE001 - as above
            log.debug("cannot bind UDP %s: %s", place, error)
    raise DialError("no UDP port can be bound")


def load_iroh() -> ModuleType | None:
    """The library, which takes a tenth of a second to load; None where it is not installed."""
    try:
        import iroh
    except ImportError:  # an extra, or no wheel for this machine: relays carry everything
        return None
    module: ModuleType = iroh
    return module


def is_place(text: str) -> bool:
    """Whether this is host:port with an IP address that packets can be sent to."""
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    usable = not (address.is_unspecified or address.is_multicast)
    return usable and port.isdecimal() and 0 < int(port) <= 65_535


async def _tell(connection: Any, seen: str) -> None:
    stream = await connection.open_uni()
    await stream.write_all(seen.encode())
    await stream.finish()
    await connection.closed()


def _address(endpoint: bytes, places: Sequence[str]) -> Any:
    iroh = load_iroh()
    assert iroh is not None
    return iroh.EndpointAddr(iroh.EndpointId.from_bytes(endpoint), None, list(places))


def _place_of(connection: Any) -> str:
    return next((path.remote_addr for path in connection.paths()), "0.0.0.0:0")


def _close_unused(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (connection := task.result()) is not None:
        connection.close(0, b"")


def _hasten(library: ModuleType) -> None:
    """The binding copies what is written byte by byte, at 1 to 4 MB/s: copy it at once instead."""
    if not importlib.metadata.version("iroh").startswith(FAST_VERSIONS):
        return
    ffi = library.iroh_ffi

    def write(builder: Any, value: bytes) -> None:
        with builder._reserve(len(value)):
            buffer = builder.rbuf
            start = ctypes.addressof(buffer.data.contents) + buffer.len
            ctypes.memmove(start, bytes(value), len(value))

    ffi._UniffiRustBufferBuilder.write = write
