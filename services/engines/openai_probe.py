"""Asking an OpenAI-compatible server what it serves and how busy it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from mesh.errors import EngineError, EngineUnavailable
from services.engines.engine import EngineStatus
from services.engines.http_client import HttpClient
from services.engines.openai_models import (
    Card,
    llama_features,
    metric,
    read_cards,
    vllm_slots,
    whole,
)
from services.engines.openai_tokens import LlamaTokens, Tokens, VllmTokens, continues_plainly
from services.engines.page_reader import PageReader

log = logging.getLogger(__name__)

Kind = Literal["openai", "vllm", "llama.cpp", "lmstudio", "koboldcpp", "tgi"]

LMSTUDIO_SLOTS = 4
"""LM Studio's default of concurrent predictions (lmstudio.ai/docs, 2026); it has no API for it."""
TGI_SLOTS = 16
"""Text Generation Inference batches; its /info tells only the length of its queue."""
SLOTS_PATIENCE = 60.0
"""Seconds after our last job in which llama.cpp's /slots is read: the call keeps a server that
sleeps when idle awake, unlike /props and /metrics (tools/server/README.md, "Sleeping on Idle")."""

CHECKS_PER_PROBE = 4
"""Models that are asked in one probe whether they can be resumed; the others follow in the next."""
CHECKS_OF_ONE = 3
"""Failed attempts after which a model is taken for one that cannot be resumed."""

Asked = tuple[tuple[Card, ...], EngineStatus]


class Prober:
    """Knows which questions each kind of server answers. `used` tells it of our own jobs."""

    def __init__(self, client: HttpClient, kind: Kind) -> None:
        self._pages = PageReader(client)
        self._kind = kind
        self._continues: dict[str, bool] = {}
        self._failures: dict[str, int] = {}
        self.tokens: Tokens | None = _tokens(kind, self._pages)
        """How the server tokenizes; None where answers cannot be gone on with exactly."""
        self._last_job = -SLOTS_PATIENCE
        self._asking: Mapping[Kind, Callable[[], Awaitable[Asked]]] = {
            "openai": self._plain,
            "vllm": self._vllm,
            "llama.cpp": self._llama,
            "lmstudio": self._lmstudio,
            "koboldcpp": self._koboldcpp,
            "tgi": self._tgi,
        }

    def used(self) -> None:
        """A job of ours went to the server now."""
        self._last_job = time.monotonic()

    async def ask(self) -> Asked:
        """Model cards and status. Raises EngineUnavailable."""
        try:
            cards, status = await self._asking[self._kind]()
        except EngineError as error:
            self._failures.clear()
            self._continues.clear()  # what comes back may be another version
            if isinstance(error, EngineUnavailable):
                raise
            raise EngineUnavailable(str(error)) from error
        return cards, status

    async def _plain(self) -> Asked:
        return _asked(await self._cards(), slots=1)

    async def _resumable(self, cards: tuple[Card, ...], *, ask: bool = True) -> tuple[Card, ...]:
        """The cards with "resume" where the server shows that it goes on with answers exactly."""
        unknown = [card.id for card in cards if card.id not in self._continues]
        for model_id in unknown[:CHECKS_PER_PROBE] if ask else ():
            await self._check_resumable(model_id)
        return tuple(
            card.with_feature("resume") if self._continues.get(card.id) else card for card in cards
        )

    async def _check_resumable(self, model_id: str) -> None:
        """Ask the server once for good; one that fails at it is asked a few times, and is in use
        all the same."""
        if self.tokens is None:
            return
        try:
            self._continues[model_id] = await continues_plainly(self.tokens, model_id)
        except EngineUnavailable as error:
            log.debug("not known whether %s can be resumed: %s", model_id, error)
            self._failures[model_id] = self._failures.get(model_id, 0) + 1
            if self._failures[model_id] >= CHECKS_OF_ONE:
                self._continues[model_id] = False

    async def _vllm(self) -> Asked:
        payload = await self._pages.json("/v1/models")
        told = [card.ref.context for card in read_cards(payload, self._kind)]
        cards = read_cards(payload, self._kind, context=max(told, default=0))  # LoRAs tell none
        cards = await self._resumable(cards)
        metrics = await self._pages.text("/metrics")
        context = cards[0].ref.context if cards else 0
        running = metric(metrics, "vllm:num_requests_running") or 0
        waiting = metric(metrics, "vllm:num_requests_waiting") or 0
        return _asked(cards, vllm_slots(metrics, context), running, waiting)

    async def _llama(self) -> Asked:
        props = await self._pages.json("/props")
        if not isinstance(props, Mapping):
            return await self._plain()
        settings = props.get("default_generation_settings")
        context = whole(settings.get("n_ctx")) if isinstance(settings, Mapping) else 0
        payload = await self._pages.json("/v1/models")
        cards = read_cards(payload, self._kind, context=context, features=llama_features(props))
        cards = await self._resumable(cards, ask=not props.get("is_sleeping"))  # it would wake up
        slots = whole(props.get("total_slots")) or 1
        running, waiting = await self._llama_load(asleep=bool(props.get("is_sleeping")))
        return _asked(cards, slots, running, waiting)

    async def _llama_load(self, *, asleep: bool) -> tuple[int, int]:
        metrics = await self._pages.text("/metrics")
        running = metric(metrics, "llamacpp:requests_processing")
        if running is not None:
            return running, metric(metrics, "llamacpp:requests_deferred") or 0
        if asleep or time.monotonic() - self._last_job > SLOTS_PATIENCE:
            return 0, 0
        slots = await self._pages.json("/slots")
        busy = [one for one in slots if one.get("is_processing")] if isinstance(slots, list) else []
        return len(busy), 0

    async def _lmstudio(self) -> Asked:
        payload = await self._pages.json("/api/v0/models")
        if not isinstance(payload, Mapping) or not isinstance(payload.get("data"), list):
            return _asked(await self._cards(), LMSTUDIO_SLOTS)
        text = [one for one in payload["data"] if isinstance(one, Mapping)]
        text = [one for one in text if one.get("type") in ("llm", "vlm")]
        return _asked(read_cards({"data": text}, self._kind), LMSTUDIO_SLOTS)

    async def _koboldcpp(self) -> Asked:
        limit = await self._pages.json("/api/extra/true_max_context_length")
        context = whole(limit.get("value")) if isinstance(limit, Mapping) else 0
        cards = read_cards(await self._pages.json("/v1/models"), self._kind, context=context)
        perf = await self._pages.json("/api/extra/perf")
        told = perf if isinstance(perf, Mapping) else {}
        running = 1 if told.get("idle") == 0 else 0
        return _asked(cards, 1, running, whole(told.get("queue")))

    async def _tgi(self) -> Asked:
        info = await self._pages.json("/info")
        told = info if isinstance(info, Mapping) else {}
        context = whole(told.get("max_total_tokens"))
        entry = {"id": told.get("model_id"), "max_model_len": context}
        cards = read_cards({"data": [entry]}, self._kind)
        metrics = await self._pages.text("/metrics")
        running, waiting = (
            metric(metrics, name) for name in ("tgi_batch_current_size", "tgi_queue_size")
        )
        return _asked(cards, TGI_SLOTS, running or 0, waiting or 0)

    async def _cards(self) -> tuple[Card, ...]:
        return read_cards(await self._pages.json("/v1/models"), self._kind)


def _asked(cards: tuple[Card, ...], slots: int, running: int = 0, waiting: int = 0) -> Asked:
    models = tuple(card.ref for card in cards)
    return cards, EngineStatus(models, slots, running, waiting)


def _tokens(kind: Kind, pages: PageReader) -> Tokens | None:
    if kind == "vllm":
        return VllmTokens(pages)
    return LlamaTokens(pages) if kind == "llama.cpp" else None
