"""A GGUF file served by llama-cpp-python: its own server as a child process.

llama_cpp/server/app.py and settings.py of abetlen/llama-cpp-python (2026). In this process a crash
of the C++ library would end the daemon, and its lock would hold up the event loop.
"""

from __future__ import annotations

import importlib.util
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path

from mesh.capability import ModelRef
from mesh.errors import ConfigError, EngineUnavailable
from mesh.jobs import JobSpec
from services.engines.child_server import HOST, ChildServer
from services.engines.engine import EngineStatus, Event
from services.engines.openai import OpenAIEngine
from services.engines.openai_models import public_name, quantisation_of

CONTEXT = 4096
RESTART_SECONDS = 5.0
"""At least this long between two starts of the server."""
GGUF_MAGIC = b"GGUF"


class LlamaEngine:
    """One model file, one job at a time. The server starts with the first probe and dies with us.

    Raises ConfigError when the extra is not installed or the file is no GGUF file.
    """

    def __init__(
        self,
        model_file: Path | None,
        *,
        name: str = "llama",
        card: int | None = None,
        command: Sequence[str] | None = None,
        restart_seconds: float = RESTART_SECONDS,
    ) -> None:
        """`name` tells several apart; `card` is the one CUDA device the server may see."""
        if model_file is None:
            raise ConfigError("model_file", "", "give --model FILE.gguf with --engine llama")
        _check_file(model_file)
        if command is None:
            _check_installed()
        key = secrets.token_urlsafe(24)
        self._key = key
        self._name = name
        environment = {"API_KEY": key} | (
            {} if card is None else {"CUDA_VISIBLE_DEVICES": str(card)}
        )
        self._server = ChildServer(
            command or server_command(model_file, model_name(model_file)), environment
        )
        self._quantisation = quantisation_of(model_file.name)
        self._engine: OpenAIEngine | None = None
        self._status: EngineStatus | None = None
        self._restart_seconds = restart_seconds
        self._start_at = 0.0

    @property
    def name(self) -> str:
        """As given; "llama" for the one that the owner configured."""
        return self._name

    @property
    def pid(self) -> int | None:
        """The server process, while it runs."""
        return self._server.pid

    @property
    def last_words(self) -> str:
        """The last line the server process wrote."""
        return self._server.last_words

    async def probe(self) -> EngineStatus:
        """As `Engine.probe`. Starts the server when it does not run."""
        if not self._server.running:
            await self._start()
        if self._status is not None:
            return self._status  # its model list waits for the running job: it is asked only once
        assert self._engine is not None
        try:
            status = await self._engine.probe()
        except EngineUnavailable as error:
            if self._server.running:
                raise EngineUnavailable("its server is loading the model") from error
            raise EngineUnavailable(f"its server ended: {self._server.last_words}") from error
        self._status = EngineStatus(tuple(self._describe(one) for one in status.models), 1)
        return self._status

    def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        """As `Engine.run`. Always streamed: only between pieces does the server see a cancel."""
        if self._engine is None:
            raise EngineUnavailable("its server is not running")
        return self._engine.run(replace(job, stream=True), model)

    async def close(self) -> None:
        """End the server."""
        if self._engine is not None:
            await self._engine.close()
        await self._server.close()

    async def _start(self) -> None:
        self._status = None
        now = time.monotonic()
        if now < self._start_at:
            raise EngineUnavailable(f"its server ended: {self._server.last_words}")
        self._start_at = now + self._restart_seconds
        if self._engine is not None:
            await self._engine.close()
        port = await self._server.start()
        url = f"http://{HOST}:{port}"
        self._engine = OpenAIEngine(url, api_key=self._key, own_choices=False)

    def _describe(self, model: ModelRef) -> ModelRef:
        return replace(model, engine="llama.cpp", quantisation=self._quantisation, context=CONTEXT)


def model_name(model_file: Path) -> str:
    """What the model of a file is called in the mesh."""
    return public_name(f"./{model_file.name}")


def server_command(model_file: Path, alias: str) -> tuple[str, ...]:
    """How llama-cpp-python's server is started. The key goes by environment: arguments are seen by
    every user of the machine. Unless told not to, it ends a running answer for a new request."""
    return (
        *(sys.executable, "-m", "llama_cpp.server"),
        *("--model", str(model_file), "--model_alias", alias),
        *("--host", HOST, "--port", "{port}"),
        *("--n_ctx", str(CONTEXT), "--n_gpu_layers", "-1"),
        *("--interrupt_requests", "false"),
    )


def _check_installed() -> None:
    for package in ("llama_cpp", "uvicorn", "fastapi"):
        if importlib.util.find_spec(package) is None:
            allowed = "first run: pip install 'distributed-electrons[llama]'"
            raise ConfigError("engine", "llama", allowed)


def _check_file(model_file: Path) -> None:
    allowed = "give a readable GGUF file"
    try:
        with model_file.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise ConfigError("model_file", str(model_file), f"{allowed} ({error.strerror})") from error
    if magic != GGUF_MAGIC:
        raise ConfigError("model_file", str(model_file), f"{allowed}; this is none")
