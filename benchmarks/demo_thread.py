"""The demo model in a thread beside an event loop, which the engine does not do.

Started by `demo_engine.py` with one BLAS thread: NumPy holds the interpreter's lock between its
short calls, and the loop waits for it.
"""

from __future__ import annotations

import asyncio

from benchmarks.demo_engine import make_job, measure_speed
from benchmarks.loop_delay import watched
from mesh.jobs import Finish
from services.engines.demo.answer import write_answers
from services.engines.demo.facts import FOLDER
from services.engines.demo.model import Llama
from services.engines.demo.request import read_request
from services.engines.demo.tokenizer import Tokenizer


async def main() -> None:
    model = Llama(FOLDER / "model.safetensors")
    tokenizer = Tokenizer.load(FOLDER / "tokenizer.json")

    def answer(seed: int) -> int:
        events = list(write_answers(model, tokenizer, read_request(make_job(seed), seed)))
        assert isinstance(events[-1], Finish)
        return events[-1].usage.completion_tokens

    async with watched("thread"):
        await measure_speed("thread, one stream", lambda seed: asyncio.to_thread(answer, seed))


if __name__ == "__main__":
    asyncio.run(main())
