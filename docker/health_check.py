"""Ends with status 0 when the daemon in this container is live, with 1 and a reason when not.

Live is not ready: a node that has found no peer yet is live, and restarting it would not help.
Only the standard library, so that a check every few seconds costs next to nothing.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE = 3.0
"""Seconds for each step of the exchange; less than the 5 s that the image grants the check."""
MAX_ANSWER = 1 << 16
"""Bytes of an answer."""


class Unhealthy(Exception):
    """Why the daemon is not live."""


def main() -> int:
    """The command line: the daemon's base URL, or nothing to look into the data folder."""
    try:
        url, token = (sys.argv[1], "") if len(sys.argv) > 1 else find_daemon(data_folder())
        check(fetch(url, token))
    except Unhealthy as reason:
        sys.stdout.write(f"unhealthy: {reason}\n")
        return 1
    sys.stdout.write("healthy\n")
    return 0


def data_folder() -> Path:
    """Where the daemon keeps its state. Raises Unhealthy when nobody said."""
    folder = os.environ.get("ELECTRONS_DATA_DIR")
    if not folder:
        raise Unhealthy("ELECTRONS_DATA_DIR is not set")
    return Path(folder)


def find_daemon(folder: Path) -> tuple[str, str]:
    """Base URL and token that the running daemon left in its run file. Raises Unhealthy."""
    path = folder / "run.json"
    try:
        run = json.loads(path.read_bytes())
        return str(run["url"]), str(run["token"])
    except OSError as error:
        raise Unhealthy(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise Unhealthy(f"{path} is damaged") from None


def fetch(url: str, token: str = "") -> object:
    """The JSON that `/health` answers with, whatever the status. Raises Unhealthy."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/health", headers=headers)
            return json.loads(connection.getresponse().read(MAX_ANSWER))
        finally:
            connection.close()
    except TimeoutError:
        raise Unhealthy(f"{url} did not answer within {PATIENCE:g} s") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unhealthy(f"{url}: {str(error) or type(error).__name__}") from None


def check(answer: object) -> None:
    """Raises Unhealthy unless a node says that it is live, or an edge router that it is ok."""
    fields = answer if isinstance(answer, dict) else {}
    if fields.get("live") is not True and fields.get("status") != "ok":
        raise Unhealthy(f"the daemon says that it is not live (state: {fields.get('state')!r})")


if __name__ == "__main__":
    sys.exit(main())
