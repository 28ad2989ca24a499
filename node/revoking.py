"""Carries lists of revocations through the mesh: keeps them, applies them, passes them on.

A list is checked, applied (links of removed nodes are cut) and passed on to every linked node that
has not shown to have it, before it is even written down: a removed node must be out everywhere
within seconds. What a push missed is found when a link comes up and by asking now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random

from dht.allowance import Allowance
from mesh.clock import Clock
from mesh.errors import LinkError, RecordRejected, StorageError, WireError
from mesh.identity.private_file import read_private, write_private
from mesh.identity.revocations import (
    Held,
    Revocations,
    check_revocations,
    is_news,
    merge,
    sum_up,
)
from mesh.identity.trust import REMOVED, Trust
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, Stream, StreamKind
from mesh.wire.frames import ResetCode
from mesh.wire.revocation import (
    MAX_MESSAGE,
    Have,
    Lists,
    decode,
    decode_revocations,
    encode,
    encode_revocations,
    pack_lists,
    unpack_lists,
)

log = logging.getLogger(__name__)

REVOCATIONS_FILE = "revocations"
WHAT = "the file of revocations"
CHECK_RATE = 5.0
CHECK_BURST = 50.0
"""New lists a second, and at once, that one peer may make this node check (0.4 ms and more)."""
MESSAGE_RATE = 5.0
MESSAGE_BURST = 100.0
"""Questions and pushes a second, and at once, that one peer is answered: an answer may be large."""
ASK_EVERY = 20.0
"""Seconds between questions to a random linked peer, and between looks at what has ended."""
CALL_SECONDS = 3.0


class Revoking:
    """One per node of a founded mesh. The owner closes `tasks`."""

    def __init__(
        self,
        *,
        own: NodeId,
        trust: Trust,
        links: Links,
        data_dir: Path,
        clock: Clock,
        tasks: Tasks,
        rng: Random,
        on_removed: Callable[[NodeId], None] = lambda node: None,
    ) -> None:
        """Applies what the data folder holds at once. `on_removed` is told of each removed node."""
        self._own = own
        self._trust = trust
        self._links = links
        self._path = data_dir / REVOCATIONS_FILE
        self._clock = clock
        self._tasks = tasks
        self._rng = rng
        self._on_removed = on_removed
        self._checks = Allowance(rate=CHECK_RATE, burst=CHECK_BURST)
        self._messages = Allowance(rate=MESSAGE_RATE, burst=MESSAGE_BURST)
        self._known: dict[NodeId, dict[str, int]] = {}
        """What linked peers have shown to have seen: signer to number."""
        self._saving = asyncio.Lock()
        self.held = Held()
        self.refused = 0
        """Lists that were not believed."""
        self._load()

    def start(self) -> None:
        """Serve peers and keep in step with them. Call once, before links come up."""
        self._links.serve(StreamKind.REVOCATION, self._serve)
        self._links.watch(self._on_link)
        for link in self._links.all():
            self._on_link(link, True)
        self._tasks.supervise(self._keep_up, "revocations")

    async def publish(self, given: Revocations) -> None:
        """Apply a list that this node signed, and tell everybody. Raises RecordRejected."""
        if self._take(given):
            await self._save()

    def note(self) -> str:
        """What the owner should know; "" when all is well."""
        return REMOVED if self._trust.removed(self._own) else ""

    # ── what peers say ──────────────────────────────────────────────────────────────────────────

    async def _serve(self, link: Link, stream: Stream) -> None:
        data = await stream.receive()
        if data is None:
            return
        if not self._messages.take(link.peer, 1, self._clock.now()):
            stream.reset(ResetCode.REFUSED, "too many questions about revocations")
            return
        answer = await self._answer(link, decode(data))
        await stream.send(encode(answer))
        stream.finish()

    async def _answer(self, link: Link, message: Have | Lists) -> Have | Lists:
        if isinstance(message, Have):
            self._note_known(link.peer, message)
            return Lists(self._lacking(message.numbers))
        await self._receive(link.peer, message)
        return Have(self.held.numbers)

    async def _receive(self, peer: NodeId, lists: Lists) -> None:
        """Check and apply what a peer sent. What cannot be believed is counted."""
        taken = False
        for data in lists.items:
            try:
                given = decode_revocations(data)
                self._note_number(peer, given)
                if is_news(self.held, given) and self._may_check(peer):
                    taken = self._take(given) or taken
            except (WireError, RecordRejected) as error:
                self.refused += 1
                log.debug("refused revocations from %s: %s", peer[:8], error)
        if taken:
            await self._save()

    def _may_check(self, peer: NodeId) -> bool:
        return self._checks.take(peer, 1, self._clock.now())

    def _take(self, given: Revocations) -> bool:
        """Check, merge, apply and pass on. False when it is no news. Raises RecordRejected."""
        if not is_news(self.held, given):
            return False
        wall = self._clock.wall()
        check_revocations(
            given, mesh_id=self._trust.mesh_id, now_wall=wall, revoked=self._trust.revoked
        )
        self.held = merge(self.held, given, now_wall=wall)
        log.info("revocations number=%d signer=%s", given.number, given.issuer_id)
        self._apply()
        for link in self._links.all():
            if self._known.get(link.peer, {}).get(given.issuer_id, -1) < given.number:
                self._tasks.spawn(self._push(link), "revocations")
        return True

    def _apply(self) -> None:
        before = self._trust.sentence.nodes
        self._trust.revoke(sum_up(self.held.lists, self._clock.wall()))
        for node in self._trust.sentence.nodes - before:
            self._on_removed(node)

    # ── what peers are told ─────────────────────────────────────────────────────────────────────

    def _on_link(self, link: Link, up: bool) -> None:
        if up and not self._tasks.closing:
            self._tasks.spawn(self._ask(link), "revocations")
        elif self._links.get(link.peer) is None:
            self._known.pop(link.peer, None)

    async def _ask(self, link: Link) -> None:
        """Fetch what the peer has and this node lacks."""
        answer = await self._call(link, Have(self.held.numbers))
        if isinstance(answer, Lists):
            await self._receive(link.peer, answer)

    async def _push(self, link: Link) -> None:
        """Give a peer what it lacks."""
        items = self._lacking(self._known.get(link.peer, {}))
        if items and isinstance(answer := await self._call(link, Lists(items)), Have):
            self._note_known(link.peer, answer)

    async def _call(self, link: Link, message: Have | Lists) -> Have | Lists | None:
        try:
            data = await link.call(StreamKind.REVOCATION, encode(message), timeout=CALL_SECONDS)
            return decode(data)
        except (LinkError, TimeoutError, WireError) as error:
            log.debug("revocations not exchanged node=%s cause=%s", link.peer, error)
            return None

    def _lacking(self, known: Mapping[str, int]) -> tuple[bytes, ...]:
        lists = (each for each in self.held.lists if known.get(each.issuer_id, -1) < each.number)
        return tuple(encode_revocations(each) for each in lists)

    def _note_known(self, peer: NodeId, have: Have) -> None:
        if self._links.get(peer) is not None:
            self._known[peer] = dict(have.numbers)

    def _note_number(self, peer: NodeId, given: Revocations) -> None:
        """Who sends a list has it; only of signers whose word this node knows, to bound it."""
        known = self._known.get(peer)
        if known is not None and given.issuer_id in self.held.numbers:
            known[given.issuer_id] = max(given.number, known.get(given.issuer_id, -1))

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY * self._rng.uniform(0.8, 1.2))
            self._apply()
            if links := self._links.all():
                await self._ask(self._rng.choice(links))

    # ── on disk ─────────────────────────────────────────────────────────────────────────────────

    def _load(self) -> None:
        """Lists that were believed once are believed for as long as their entries last."""
        data = read_private(self._path, WHAT, most=MAX_MESSAGE)
        for given in _readable(data) if data else ():
            try:
                check_revocations(given, mesh_id=self._trust.mesh_id, now_wall=given.issued_at)
            except RecordRejected as error:
                log.warning("a list in %s is left out: %s", self._path, error)
                continue
            self.held = merge(self.held, given, now_wall=self._clock.wall())
        self._apply()

    async def _save(self) -> None:
        async with self._saving:
            data = pack_lists(self.held.lists)
            try:
                await asyncio.to_thread(write_private, self._path, data, WHAT)
            except StorageError as error:
                log.error("%s: what was revoked is forgotten at the next start", error)


def _readable(data: bytes) -> Iterable[Revocations]:
    try:
        return list(unpack_lists(data))
    except WireError as error:
        log.warning("%s is damaged and left out: %s", WHAT, error)
        return ()
