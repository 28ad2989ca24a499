"""Engines: found, answering, and able to generate one token."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from mesh.errors import ElectronsError
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.outbound import try_tcp
from node.doctor.patient import Patient
from node.doctor.web import NoAnswer, ask
from services.engines.discovery import Discovery
from services.engines.engine import Engine
from services.engines.recognition import NotAnEngine, engine_for_url
from services.sample import sample_model

AREA = "engines"
ANSWER_SECONDS = 4.0
SAMPLE_SECONDS = 5.0
"""For the one token of a model; a large one may have to be loaded first."""
CHECK_SECONDS = 13.0
"""Scan or recognition, then probe and sample."""

How = Literal[
    "well",
    "absent",
    "silent",
    "not an engine",
    "locked",
    "failing",
    "no models",
    "slow",
    "no token",
]


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What one engine did when asked."""

    place: str
    how: How
    models: int = 0
    sampled: bool = False
    error: str = ""


async def examine_engines(
    patient: Patient, discovery: Discovery | None = None
) -> Sequence[Finding]:
    """See `judge_engine` and `judge_words`."""
    if patient.config is None:
        return [skipped(AREA, "The settings do not load, so the engines are not known")]
    words = patient.config.engines
    urls = [word for word in words if "://" in word]
    sample = not _serves(patient.answer)
    asked, scanned = await asyncio.gather(
        _ask_all(urls, sample=sample),
        _scan(discovery or Discovery() if "auto" in words else None, sample=sample),
    )
    found = [judge_engine(facts) for facts in (*asked, *scanned)]
    return (*found, *judge_words(words, bool(scanned), _has_llama()))


def judge_engine(facts: EngineFacts) -> Finding:
    """Whether its models can be offered."""
    where = f"The engine at {facts.place}"
    match facts.how:
        case "well":
            token = " and generated a token" if facts.sampled else ""
            return ok(AREA, f"{where} answers with {facts.models} models{token}")
        case "absent":
            cure = "start it, or correct the URL in `engines`"
            return problem(AREA, f"{where} does not answer", cure, facts.error)
        case "silent":
            what = f"{where} takes connections and does not answer"
            return problem(AREA, what, "it hangs: restart it, and look into its log", facts.error)
        case "not an engine":
            cure = "correct the URL in `engines`"
            return problem(
                AREA, f"What answers at {facts.place} is no known engine", cure, facts.error
            )
        case "locked":
            cure = "start it without a key: it needs to listen on this machine only"
            return problem(AREA, f"{where} wants an API key", cure, facts.error)
        case "failing":
            cure = "look into the engine's own log and restart it"
            return problem(AREA, f"{where} answers with errors", cure, facts.error)
        case "no models":
            cure = "load a model into it, for instance 'ollama pull qwen3'"
            return problem(AREA, f"{where} has no model", cure)
        case "slow":
            what = f"{where} gave no token within {SAMPLE_SECONDS:.0f} s"
            return warning(AREA, what, "wait if it is loading a model; else restart the engine")
    cure = "ask it for an answer by hand; its models are not offered until it gives one"
    return problem(AREA, f"{where} generates nothing", cure, facts.error)


def judge_words(words: Sequence[str], found: bool, llama: bool) -> tuple[Finding, ...]:
    """What the words other than URLs come to; `found`: the search had success."""
    told: list[Finding] = []
    if "auto" in words and not found:
        what = "No engine was found on this machine, so the small demo model is served"
        cure = "install one (Ollama, llama.cpp, vLLM ...), or give its URL with --engine"
        told.append(warning(AREA, what, cure))
    if "demo" in words:
        told.append(ok(AREA, "The demo model is always there"))
    if "llama" in words and not llama:
        cure = "install the extra: pip install 'distributed-electrons[llama]'"
        told.append(problem(AREA, "The llama engine's library is not installed", cure))
    elif "llama" in words:
        told.append(ok(AREA, "The llama engine's library is installed"))
    if "none" in words:
        told.append(ok(AREA, "No engine is wanted: this node only forwards"))
    return tuple(told)


async def _scan(discovery: Discovery | None, *, sample: bool) -> list[EngineFacts]:
    engines = () if discovery is None else await discovery.scan(())
    asked = (_ask(engine, engine.name, sample=sample) for engine in engines)
    return list(await asyncio.gather(*asked))


async def _ask_all(urls: Sequence[str], *, sample: bool) -> list[EngineFacts]:
    return list(await asyncio.gather(*(_ask_url(url, sample=sample) for url in urls)))


async def _ask_url(url: str, *, sample: bool) -> EngineFacts:
    place = urlsplit(url).netloc
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            engine = await engine_for_url(url)
    except TimeoutError:
        return EngineFacts(place, "silent")
    except NotAnEngine as error:
        return EngineFacts(place, await _how_strange(url), error=str(error))
    except ElectronsError as error:
        return EngineFacts(place, await _how_absent(url), error=str(error))
    return await _ask(engine, place, sample=sample)


async def _how_strange(url: str) -> How:
    """Something answers: an engine in trouble, one that wants a key, or no engine?"""
    parts = urlsplit(url)
    try:
        answer = await ask(f"{parts.scheme}://{parts.netloc}/v1/models", seconds=1.5)
    except NoAnswer:
        return "not an engine"
    if answer.status in (401, 403):
        return "locked"
    return "failing" if answer.status >= 500 else "not an engine"


async def _how_absent(url: str) -> How:
    """Nobody answered over HTTP: somebody who hangs, or nobody at all?"""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    taken = await try_tcp(parts.hostname or "", port, seconds=1.0)
    return "silent" if taken == "open" else "absent"


async def _ask(engine: Engine, place: str, *, sample: bool) -> EngineFacts:
    """Probe, then let the first model generate one token; closes the engine."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            status = await engine.probe()
        if not status.models:
            return EngineFacts(place, "no models")
        count = len(status.models)
        if not sample:
            return EngineFacts(place, "well", count)
        async with asyncio.timeout(SAMPLE_SECONDS):
            error = await sample_model(engine, status.models[0])
        how: How = "no token" if error else "well"
        return EngineFacts(place, how, count, not error, error)
    except TimeoutError:
        return EngineFacts(place, "slow")
    except ElectronsError as error:
        return EngineFacts(place, "failing", error=str(error))
    finally:
        await engine.close()


def _serves(answer: Mapping[str, Any] | None) -> bool:
    """The running node offers models of real engines, so their sample passed there already."""
    models = answer.get("models") if answer is not None else None
    served = [model for model in models or () if isinstance(model, Mapping)]
    return any(_engine_of(model) not in ("", "demo") for model in served)


def _engine_of(model: Mapping[str, Any]) -> str:
    ref = model.get("ref")
    return str(ref.get("engine", "")) if isinstance(ref, Mapping) else ""


def _has_llama() -> bool:
    return importlib.util.find_spec("llama_cpp") is not None
