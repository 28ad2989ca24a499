"""A node of its own process for tests: prints its port, echoes on JOB and DHT streams."""

from __future__ import annotations

import asyncio
import sys

from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.links.pool import LinkPool
from mesh.ports import StreamKind
from tests.integration.links.peers import MESH, echo


async def main() -> None:
    """Run until killed, or until standard input ends; then leave cleanly."""
    pool = LinkPool(
        key=NodeKey.generate(), mesh_id=MESH, boot=Boot(1, "cc"), listen=("127.0.0.1", 0)
    )
    pool.serve(StreamKind.JOB, echo)
    pool.serve(StreamKind.DHT, echo)
    await pool.start()
    print(pool.addresses[0], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main())
