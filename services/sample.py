"""The one token an engine must generate before its models are offered to anybody."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from mesh.capability import ModelRef
from mesh.errors import EngineError, InvalidRequest, JobError
from mesh.jobs import Finish, JobSpec, Sampling
from services.engines.engine import Engine, EngineStatus

SAMPLE_SECONDS = 120.0
"""For one model; it may have to be loaded first."""
MOST_TRIED = 3
"""Models tried until one answers: each may be loaded into memory for it."""

_ONE_TOKEN = Sampling(max_tokens=1, temperature=0.0)


async def sample_engine(engine: Engine, status: EngineStatus) -> tuple[bool, dict[str, str]]:
    """Try models until one generates: (whether one did, reasons by name of those that failed).

    One that generates speaks for the others: to try all would load all.
    """
    failed: dict[str, str] = {}
    for model in status.models[:MOST_TRIED]:
        reason = await sample_model(engine, model)
        if not reason:
            return True, failed
        failed[model.name] = reason
    return False, failed


async def sample_model(engine: Engine, model: ModelRef) -> str:
    """ "" when the model generated a token, else why not."""
    chat = JobSpec("chat", model.name, ({"role": "user", "content": "Hi"},), sampling=_ONE_TOKEN)
    plain = JobSpec("completion", model.name, prompt="Hi", sampling=_ONE_TOKEN)
    try:
        async with asyncio.timeout(SAMPLE_SECONDS):
            try:
                await _finish(engine, chat, model)
            except InvalidRequest:  # a base model has no chat template
                await _finish(engine, plain, model)
    except TimeoutError:
        return f"no token within {SAMPLE_SECONDS:.0f} s"
    except (EngineError, JobError) as error:
        return str(error)
    return ""


async def _finish(engine: Engine, job: JobSpec, model: ModelRef) -> None:
    async with aclosing(engine.run(job, model)) as events:
        async for event in events:
            if isinstance(event, Finish):
                return
    raise EngineError(f"{engine.name} ended its answer before it was complete")
