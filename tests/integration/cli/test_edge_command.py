"""`electrons edge`: starts, says where, stops; a taken port is named."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from urllib.parse import urlsplit

from tests.integration.cli.conftest import PATIENCE, ROOT

COMMAND = (sys.executable, "-m", "node.cli.main", "edge", "--host", "127.0.0.1", "--json")


def test_an_edge_router_answers_until_it_is_told_to_stop() -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as edge:
        assert edge.stdout is not None
        ready = json.loads(edge.stdout.readline())
        assert ready["pid"] == edge.pid
        address = urlsplit(ready["url"])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()
        again = subprocess.run(
            [*COMMAND, "--port", str(address.port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        edge.terminate()
        assert edge.wait(PATIENCE) == 0
    assert again.returncode == 1
    assert f"electrons: --host 127.0.0.1 --port {address.port}: " in again.stderr
    assert "Traceback" not in again.stderr
