"""A daemon whose node is staged: `python staged_node.py SCENE [flags of electrons up]`.

The daemon, its folder, signals and exit status are the real ones; the node only does what the
scene says, so that each way of ending can be brought about.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import socket
import sys
import threading
import time

from mesh.errors import ElectronsError
from node.banner import Banner
from node.cli.main import exit_code_of
from node.cli.setting_flags import add_setting_flags, raw_settings
from node.cli.terminal import remark
from node.config import Config, load_config
from node.daemon import run_daemon


class StagedNode:
    """Implements node.daemon.Node."""

    node_id = "ab" * 20
    token = "t0ken"

    def __init__(self, scene: str, config: Config) -> None:
        self._scene = scene
        self._config = config
        self._server: asyncio.Server | None = None
        self._state = "starting"

    @property
    def http_url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def mesh_address(self) -> str:
        return "127.0.0.1:1"

    async def start(self) -> None:
        remark("starting")
        if self._scene == "slow-start":
            await asyncio.sleep(600)
        if self._scene == "full-disk":
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._scene == "no-interface":
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        self._server = await asyncio.start_server(
            lambda reader, writer: writer.close(), self._config.http.host, self._config.http.port
        )
        self._state = "first"
        if self._scene == "stuck-thread":
            threading.Thread(target=time.sleep, args=(600,)).start()

    async def drain(self, deadline_seconds: float) -> None:
        remark("draining")
        if self._scene in ("busy", "stuck-drain"):
            await asyncio.sleep(600 if self._scene == "stuck-drain" else deadline_seconds)
        remark("drained")

    async def hand_over(self, patience: float) -> dict[str, int]:
        remark("handing over")
        return {}

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        remark("stopped")

    async def wait_failed(self) -> None:
        if self._scene == "fails":
            raise ElectronsError("the mesh port was lost")
        await asyncio.Event().wait()

    def state(self) -> str:
        return self._state

    def banner(self) -> Banner:
        return Banner(self.node_id, self.http_url, self.mesh_address, self._state)


def main() -> int:
    scene = sys.argv[1]
    parser = argparse.ArgumentParser()
    parser.add_argument("--config")
    add_setting_flags(parser)
    args = parser.parse_args(sys.argv[2:])
    try:
        config = load_config(raw_settings(args), file=args.config)
        return run_daemon(config, lambda config: StagedNode(scene, config))
    except ElectronsError as error:
        remark(f"electrons: {error}")
        return exit_code_of(error)


if __name__ == "__main__":
    socket.setdefaulttimeout(5)
    sys.exit(main())
