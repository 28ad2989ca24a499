"""Runs a node from start to exit: folder, signals, order of start and stop, exit status."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import importlib.util
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from mesh.errors import ConfigError, ElectronsError, StorageError
from mesh.lifecycle import Tasks
from mesh.storage.folder import DataFolder
from mesh.storage.format import migrate
from mesh.storage.run_file import RunInfo, remove_run_file, write_run_file
from mesh.version import VERSION
from node.banner import Banner, ready_line, render_banner
from node.config import Config
from node.config_sources import find_data_dir
from node.exit_deadline import ExitDeadline
from node.open_files import raise_limit
from node.start_error import explain_start_error
from node.succession import Succession, take_successor

log = logging.getLogger(__name__)

DRAIN_SECONDS = 3.5
"""What running jobs get to finish when the node stops."""
STOP_SECONDS = 4.8
"""From the first signal until the process is gone, whatever hangs."""
HAND_OVER_SECONDS = 120.0
"""What running jobs get to finish before another release takes over."""
HURRY_SECONDS = 0.5
"""The same, from the second signal."""
COLLECT_AFTER = 20_000
"""Objects made and not yet freed before the collector looks for cycles among them."""
OK, FAILED, INTERRUPTED = 0, 1, 130


class Node(Protocol):
    """An assembled node, not yet started."""

    @property
    def node_id(self) -> str: ...

    @property
    def http_url(self) -> str:
        """Base URL; valid once started."""
        ...

    @property
    def mesh_address(self) -> str:
        """HOST:PORT as bound; valid once started."""
        ...

    @property
    def token(self) -> str:
        """Opens the HTTP API as the local administrator; goes into run.json."""
        ...

    async def start(self) -> None:
        """Bind sockets and probe local engines. Raises OSError or ElectronsError."""
        ...

    async def drain(self, deadline_seconds: float) -> None:
        """Take no new work; return when none runs or the deadline has passed."""
        ...

    async def hand_over(self, patience: float) -> Mapping[str, int]:
        """Finish what runs and return copies of the listening sockets, by name."""
        ...

    async def stop(self) -> None:
        """Release everything. Also after a start that failed half-way."""
        ...

    async def wait_failed(self) -> None:
        """Return or raise when a part without which the node is useless is lost for good."""
        ...

    def state(self) -> str: ...

    def banner(self) -> Banner: ...


Build = Callable[[Config], Node]
Say = Callable[[str], None]


def run_daemon(config: Config, build: Build, *, say: Say | None = None) -> int:
    """Run a node until a signal or its failure; the result is the exit status.

    `build` is called inside the event loop, with the data folder locked. `say` gets the banner or
    the ready line. Raises ConfigError, StorageError or StartError before the node is up.
    """
    configure_logging(config)
    raise_limit()
    with DataFolder.open(config.data_dir) as folder:
        deadline = ExitDeadline(lambda: remove_run_file(folder.path))
        daemon = Daemon(config, build, deadline, say or _print)
        try:
            migrate(folder.path)
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                code = runner.run(daemon.run())
        finally:
            remove_run_file(folder.path)
    if daemon.succession is not None:
        daemon.succession.take_place(sys.argv[1:])
    return code


def configure_logging(config: Config) -> None:
    """Log to standard error, from the configured level on."""
    logging.basicConfig(
        stream=sys.stderr,
        level=config.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where the extra `uvloop` is installed, else asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
        "uvloop"
    ).new_event_loop
    return factory


def calm_collector() -> None:
    """Leave what the start made out of every later collection, and collect less often.

    Reference counts free nearly all of what a request makes; what is left to the collector is the
    occasional cycle, and looking for it every 700 allocations cost 8 % of the request path.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


class Daemon:
    """One run of one node."""

    def __init__(self, config: Config, build: Build, deadline: ExitDeadline, say: Say) -> None:
        self._config = config
        self._build = build
        self._deadline = deadline
        self._say = say
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._tasks = Tasks("daemon")
        self._successor: str | None = None
        self.succession: Succession | None = None
        """What this process becomes once it has stopped, if anything."""

    async def run(self) -> int:
        """Start, serve, drain, stop."""
        self._catch_signals()
        node = self._assemble()
        try:
            code = await self._serve(node)
        finally:
            self._deadline.arm(STOP_SECONDS, FAILED)
            await node.stop()
            await self._tasks.close()
        return INTERRUPTED if self._hurry.is_set() else code

    def _assemble(self) -> Node:
        try:
            return self._build(self._config)
        except OSError as error:
            raise explain_start_error(error, self._config) from error

    async def _serve(self, node: Node) -> int:
        start = self._tasks.spawn(self._start(node), "start")
        if not await self._until(start, self._stopping):
            return OK
        if (refusal := start.result()) is not None:
            raise refusal
        calm_collector()
        self._publish(node)
        failure = self._tasks.spawn(_failure_of(node), "watch")
        failed = await self._until(failure, self._stopping)
        if failed:
            log.error("the node failed and stops: %s", failure.result())
        if self._successor is not None and not failed:
            return await self._hand_over(node, self._successor)
        self._deadline.arm(STOP_SECONDS, FAILED)
        drain = self._tasks.spawn(node.drain(DRAIN_SECONDS), "drain")
        await self._until(drain, self._hurry)
        return FAILED if failed else OK

    async def _hand_over(self, node: Node, successor: str) -> int:
        handing = self._tasks.spawn(node.hand_over(HAND_OVER_SECONDS), "hand over")
        if await self._until(handing, self._hurry):
            self.succession = Succession(successor, handing.result())
        return OK

    async def _start(self, node: Node) -> Exception | None:
        """Why the node could not start. A value: a raised error would be logged as a crash."""
        try:
            await node.start()
        except OSError as error:
            return explain_start_error(error, self._config)
        except ConfigError as error:
            # A layer that knows no flags worded it; the system's own error names the setting.
            cause = error.__cause__ or error.__context__
            return explain_start_error(cause, self._config) if isinstance(cause, OSError) else error
        except ElectronsError as error:
            return error
        return None

    def _publish(self, node: Node) -> None:
        info = RunInfo(
            node.http_url,
            node.token,
            os.getpid(),
            node.node_id,
            node.mesh_address,
            VERSION,
            _command_line(),
        )
        write_run_file(self._config.data_dir, info)
        banner = node.banner()
        if self._config.json_output:
            self._say(ready_line(banner, os.getpid(), VERSION))
        else:
            self._say(render_banner(banner, VERSION, flags=_finding_flags(self._config)))

    async def _until(self, task: asyncio.Task[object], event: asyncio.Event) -> bool:
        """Wait for the task or the event; True when the task is done, else it is cancelled."""
        other = self._tasks.spawn(event.wait(), "signal")
        await asyncio.wait((task, other), return_when=asyncio.FIRST_COMPLETED)
        other.cancel()
        if task.done():
            return True
        task.cancel()
        await asyncio.wait((task,), timeout=HURRY_SECONDS)
        return False

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _stop_signals():
            try:
                loop.add_signal_handler(number, self._signalled)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._signalled))

        if sys.platform != "win32":
            loop.add_signal_handler(signal.SIGUSR2, self._succeed)

    def _succeed(self) -> None:
        """`electrons update` has named a successor."""
        try:
            self._successor = take_successor(self._config.data_dir)
        except StorageError as error:
            log.error("%s", error)
        if self._successor is None or self._stopping.is_set():
            log.error("there is no successor that could be run: the node goes on")
            return
        log.info("finishing, up to %g s, before %s takes over", HAND_OVER_SECONDS, self._successor)
        self._stopping.set()

    def _signalled(self) -> None:
        if self._stopping.is_set():
            self._hurry.set()
            self._deadline.arm(HURRY_SECONDS, INTERRUPTED)
            return
        log.info("draining, up to %g s; once more stops at once", DRAIN_SECONDS)
        self._deadline.arm(STOP_SECONDS, FAILED)
        self._stopping.set()


def _stop_signals() -> list[signal.Signals]:
    """Interrupt and terminate; a closed terminal too, unless nohup says to go on."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        numbers.append(signal.SIGHUP)
    return numbers


def _finding_flags(config: Config) -> str:
    """What the other commands need to find the node; nothing in the default folder."""
    with contextlib.suppress(ConfigError):  # no home folder, so there is no default
        if find_data_dir(None) == config.data_dir:
            return ""
    return f"--data-dir {shlex.quote(str(config.data_dir))}"


def _command_line() -> str:
    """What starts this program again, as it was started."""
    program = Path(sys.argv[0]).resolve()
    if os.access(program, os.X_OK) and program.suffix != ".py":
        return shlex.join([str(program), *sys.argv[1:]])
    return shlex.join([sys.executable, "-m", "node.cli.main", *sys.argv[1:]])


async def _failure_of(node: Node) -> str:
    try:
        await node.wait_failed()
    except Exception as error:  # noqa: BLE001  whatever it is, the node is stopped for it
        return str(error) or type(error).__name__
    return "a part of it ended"


def _print(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever read the ready line may be gone
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
