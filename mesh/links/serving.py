"""Runs the handlers of streams that peers open."""

from __future__ import annotations

import asyncio
import logging

from mesh.errors import LinkError
from mesh.lifecycle import Tasks
from mesh.links.link import MeshLink
from mesh.links.stream import LinkStream
from mesh.ports import StreamHandler, StreamKind
from mesh.wire.frames import MAX_STREAMS, ResetCode

log = logging.getLogger(__name__)


class Serving:
    """One handler per kind of stream; each stream runs as a task. MAX_STREAMS a link bound them."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._handlers: dict[int, StreamHandler] = {}

    def serve(self, kind: StreamKind, handler: StreamHandler) -> None:
        """Register who serves streams of a kind."""
        self._handlers[kind] = handler

    def stream_opened(self, link: MeshLink, stream: LinkStream) -> None:
        """A peer has opened a stream."""
        kind = stream.state.kind
        handler = self._handlers.get(kind)
        if link.applying and kind != StreamKind.ADMISSION:
            handler = None  # whoever asks to be admitted gets nothing else
        if handler is None or self._tasks.closing:
            stream.reset(ResetCode.REFUSED, f"streams of kind {kind} are not served")
        elif link.handlers >= MAX_STREAMS:
            # A reset frees its stream at once but not its handler: opening and resetting in a
            # hurry must not pile handlers up.
            stream.reset(ResetCode.REFUSED, "too many streams are being served")
        else:
            link.handlers += 1
            self._tasks.spawn(_run(handler, link, stream), "stream")


async def _run(handler: StreamHandler, link: MeshLink, stream: LinkStream) -> None:
    try:
        await handler(link, stream)
    except LinkError as error:
        log.debug("stream ended node=%s cause=%s", link.peer, error)
        stream.reset()
    except asyncio.CancelledError:
        stream.reset(ResetCode.REFUSED, "the node stops")
        raise
    except Exception:  # a handler's bug must end its stream, not the link
        log.exception("stream handler failed node=%s", link.peer)
        stream.reset(ResetCode.FAILED, "the handler failed")
    else:
        stream.abandon()
    finally:
        link.handlers -= 1
