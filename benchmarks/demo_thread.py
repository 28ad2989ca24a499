"""The demo model in a thread beside an event loop, which the engine does not do.

Started by `demo_engine.py` with one BLAS thread: NumPy holds the interpreter's lock between its
short calls, and the loop waits for it.
"""

from __future__ import annotations

import asyncio

from benchmarks.demo_engine import STREAMS, make_job, measure_speed
from benchmarks.loop_delay import watched
from mesh.jobs import Finish
from services.engines.demo.answer import Step, write_answers
from services.engines.demo.facts import FOLDER
from services.engines.demo.model import Llama
from services.engines.demo.request import read_request
from services.engines.demo.tokenizer import Tokenizer


async def main() -> None:
    model = Llama(FOLDER / "model.safetensors")
    tokenizer = Tokenizer.load(FOLDER / "tokenizer.json")
    received: list[Step] = []

    loop = asyncio.get_running_loop()

    def answer(seed: int) -> int:
        tokens = 0
        for event in write_answers(model, tokenizer, read_request(make_job(seed), seed)):
            loop.call_soon_threadsafe(received.append, event)
            tokens = event.usage.completion_tokens if isinstance(event, Finish) else 0
        return tokens

    for streams in STREAMS:
        async with watched("thread"):
            await measure_speed("thread", lambda seed: asyncio.to_thread(answer, seed), streams)


if __name__ == "__main__":
    asyncio.run(main())
