"""The demo process: reads requests from standard input, writes chunks to standard output.

Started by `process.py`. It ends when its input ends, so it never outlives the daemon.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from mesh.errors import InvalidRequest
from mesh.jobs import Finish
from services.engines.demo.answer import Step, write_answers
from services.engines.demo.model import Llama
from services.engines.demo.protocol import (
    Message,
    encode,
    make_unpacker,
    pack_error,
    pack_event,
    unpack_request,
)
from services.engines.demo.tokenizer import Tokenizer

log = logging.getLogger(__name__)

READ_SIZE = 64 * 1024


@dataclass(slots=True)
class Work:
    """A job under way and how many more chunks its reader has room for."""

    steps: Iterator[Step]
    window: int


class Writer:
    """Takes the jobs a step each in turn, as far as their readers have room."""

    def __init__(self, model: Llama, tokenizer: Tokenizer) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._work: dict[int, Work] = {}

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return any(work.window > 0 for work in self._work.values())

    def handle(self, message: Message) -> None:
        """Start a job, give one more room, or drop one."""
        if "run" in message:
            request = unpack_request(message["request"])
            steps = write_answers(self._model, self._tokenizer, request)
            self._work[message["run"]] = Work(steps, message["window"])
        elif "pull" in message and message["pull"] in self._work:
            self._work[message["pull"]].window += message["count"]
        elif "cancel" in message:
            self._work.pop(message["cancel"], None)

    def step(self) -> Iterator[Message]:
        """One step of every job that has room; yields what to send."""
        for job, work in list(self._work.items()):
            if work.window > 0 and (message := self._advance(job, work)):
                yield message

    def _advance(self, job: int, work: Work) -> Message | None:
        try:
            event = next(work.steps)
        except InvalidRequest as error:
            del self._work[job]
            return pack_error(job, error)
        except Exception:  # a defect that one job meets must not end the others
            log.exception("job %d failed", job)
            del self._work[job]
            return pack_error(job, None)
        if event is None:
            return None
        work.window -= 1
        if isinstance(event, Finish):
            del self._work[job]
        return pack_event(job, event)


def serve(writer: Writer, source: int, sink: int) -> None:
    """Work until the input ends."""
    incoming: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read, args=(source, incoming), name="input", daemon=True).start()
    unpacker = make_unpacker()
    while True:
        try:
            data = incoming.get(block=not writer.busy)
        except Empty:
            pass
        else:
            if not data:
                return
            unpacker.feed(data)
            for message in unpacker:
                writer.handle(message)
        for reply in writer.step():
            _write(sink, encode(reply))


def _read(source: int, incoming: SimpleQueue[bytes]) -> None:
    """Pass the input on, its empty end last; in a thread, as not every system can poll a pipe."""
    while data := os.read(source, READ_SIZE):
        incoming.put(data)
    incoming.put(b"")


def _write(sink: int, data: bytes) -> None:
    while data:
        data = data[os.write(sink, data) :]


def main() -> None:
    """Load the folder named by the first argument and serve standard input and output."""
    folder = Path(sys.argv[1])
    model = Llama(folder / "model.safetensors")
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    try:
        serve(Writer(model, tokenizer), 0, 1)
    except BrokenPipeError:
        os._exit(0)  # the daemon is gone; nobody is left to tell


if __name__ == "__main__":
    main()
