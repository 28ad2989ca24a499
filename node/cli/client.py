"""Talks to a running node's HTTP API, with the standard library only: a command must start fast."""

from __future__ import annotations

import argparse
import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from mesh.errors import ConfigError, ElectronsError
from mesh.storage.lock import is_locked
from mesh.storage.run_file import read_run_file
from node.cli.no_daemon import NoDaemon
from node.config_addresses import parse_url
from node.config_sources import find_data_dir
from node.config_values import BadValue
from node.environment import variable

ANSWER_PATIENCE = 10.0
"""Seconds a node may take for an answer from its own state."""
STREAM_PATIENCE = 60.0
"""Seconds between two signs of life of a stream; the node sends keep-alives far more often."""
MAX_ANSWER = 32 << 20
"""Bytes of one JSON answer."""
MAX_LINE = 4 << 20
"""Bytes of one line of an event stream."""


class ApiError(ElectronsError):
    """The node answered with an error. `status` is HTTP's, `code` is the API's or ""."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Api:
    """One node's HTTP API. Every call opens a connection of its own."""

    def __init__(self, url: str, token: str | None, *, privacy: str | None = None) -> None:
        """`privacy`: the class of requests that are sent; None leaves it to the node."""
        self.url = url.rstrip("/")
        self._token = token
        self._privacy = privacy

    def get(self, path: str) -> Any:
        """The JSON behind a path. Raises ApiError, NoDaemon."""
        with self._exchange("GET", path, None, ANSWER_PATIENCE) as response:
            return _parse(response.read(MAX_ANSWER))

    def post(self, path: str, body: Mapping[str, Any], *, timeout: float) -> tuple[Any, str]:
        """Send JSON; the JSON answer and the id of the node that served it."""
        with self._exchange("POST", path, body, timeout) as response:
            return _parse(response.read(MAX_ANSWER)), response.headers.get("x-electrons-node", "")

    def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        """Change something by PUT or DELETE; the JSON answer. Raises ApiError, NoDaemon."""
        with self._exchange(method, path, body, ANSWER_PATIENCE) as response:
            return _parse(response.read(MAX_ANSWER))

    @contextmanager
    def stream(self, path: str, body: Mapping[str, Any]) -> Iterator[tuple[str, Iterator[str]]]:
        """Send JSON; the serving node's id and the answer's lines. Leaving the block cancels."""
        with self._exchange("POST", path, body, STREAM_PATIENCE) as response:
            yield response.headers.get("x-electrons-node", ""), _lines(response)

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection(timeout)
        headers = {"Accept": "application/json, text/event-stream", "Connection": "close"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._privacy:
            headers["x-electrons-privacy"] = self._privacy
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            base = urlsplit(self.url).path
            connection.request(method, base + path, payload, headers)
            response = connection.getresponse()
            if response.status == 401:
                words = f"the node at {self.url} wants a key: give --key or set ELECTRONS_KEY"
                raise ApiError(401, "invalid_api_key", words)
            if response.status >= 400:
                raise _refusal(response.status, response.read(MAX_ANSWER))
            yield response
        except TimeoutError:
            raise ElectronsError(f"the node at {self.url} did not answer in time") from None
        except ConnectionRefusedError:
            raise NoDaemon(
                f"no node answers at {self.url}: start one with 'electrons up'"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise ElectronsError(f"the connection to {self.url} failed ({reason})") from None
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout)
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)


def add_client_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say which node to ask."""
    group = parser.add_argument_group("which node")
    group.add_argument("--data-dir", metavar="DIR", help="data folder of a node on this machine")
    group.add_argument("--url", help="base URL of any node's HTTP API, instead of --data-dir")
    group.add_argument("--key", help="key for --url; better in the variable ELECTRONS_KEY")


def find_node(args: argparse.Namespace) -> Api:
    """The node the flags mean. Raises NoDaemon, StorageError, ConfigError."""
    privacy = getattr(args, "privacy", None)  # only where something is asked of a model
    if args.url is not None:
        try:
            url = parse_url(args.url)
        except BadValue as error:
            raise ConfigError("--url", error.value, error.allowed) from None
        return Api(url, args.key or variable("KEY"), privacy=privacy)
    folder = find_data_dir(args.data_dir)
    info = read_run_file(folder)
    if info is None or not is_locked(folder):
        raise NoDaemon(f"no node runs in {folder}: start one with 'electrons up'")
    return Api(info.url, args.key or info.token, privacy=privacy)


def _lines(response: http.client.HTTPResponse) -> Iterator[str]:
    while line := response.readline(MAX_LINE):
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise ElectronsError("the answer is not JSON: is this a node's HTTP address?") from None


def _refusal(status: int, data: bytes) -> ApiError:
    """Reads OpenAI's and the plain error shape; anything else is shown by its status."""
    try:
        error = json.loads(data)["error"]
    except (ValueError, KeyError, TypeError):
        return ApiError(status, "", f"the node answered with HTTP status {status}")
    if isinstance(error, dict):
        return ApiError(status, str(error.get("code") or ""), str(error.get("message") or status))
    return ApiError(status, "", str(error))
