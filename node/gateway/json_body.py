"""Request bodies: bytes to a JSON object, or a refusal that says what is wrong."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

import orjson

from mesh.errors import InvalidRequest
from node.gateway.limits import MAX_BRACKETS, MAX_DEPTH


class MalformedJson(InvalidRequest):
    """The body is not JSON at all."""

    code = "invalid_json"


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises InvalidRequest when it is anything else or too deep."""
    if not body:
        raise MalformedJson("the body is empty; a JSON object is expected")
    _check_depth(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"the body is not valid JSON: {error}"[:200]) from None
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object")
    return value


def _check_depth(body: bytes) -> None:
    # Fewer brackets than the limit cannot nest deeper than it: true of nearly every request.
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return
    brackets = _brackets(body)
    if len(brackets) > MAX_BRACKETS:
        raise InvalidRequest(f"the body holds more than {MAX_BRACKETS // 2} arrays and objects")
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise InvalidRequest(f"the body nests deeper than {MAX_DEPTH} levels")


def _brackets(body: bytes) -> bytes:
    """The brackets of a JSON text that are not inside its strings."""
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return _STRING.sub(b"", bare).translate(None, _NOT_BRACKETS)


_STRING = re.compile(rb'"[^"]*"')
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
