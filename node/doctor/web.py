"""One HTTP question, through a proxy where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp

from mesh.errors import ElectronsError
from mesh.links.proxy import Proxy

MAX_BODY = 64 * 1024
ANSWER_SECONDS = 4.0


class NoAnswer(ElectronsError):
    """Nothing answered, or nothing that speaks HTTP."""


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """What came back."""

    status: int
    body: bytes
    date: float | None
    """The other machine's clock (RFC 9110, 6.6.1) in Unix seconds; None when it did not say."""
    server: str = ""


async def ask(
    url: str, *, proxy: Proxy | None = None, seconds: float = ANSWER_SECONDS
) -> WebAnswer:
    """GET a page. A certificate's name and age are checked, as a node would. Raises NoAnswer."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(
                url,
                proxy=None if proxy is None else str(proxy),
                proxy_auth=_credentials(proxy),
                allow_redirects=False,
            ) as response,
        ):
            body = await response.content.read(MAX_BODY)
    except TimeoutError:
        raise NoAnswer(f"no answer within {seconds:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NoAnswer(str(error) or type(error).__name__) from None
    headers = response.headers
    return WebAnswer(
        response.status, body, read_date(headers.get("Date", "")), headers.get("Server", "")
    )


def _credentials(proxy: Proxy | None) -> aiohttp.BasicAuth | None:
    if proxy is None or not proxy.credentials:
        return None
    user, _, password = proxy.credentials.partition(":")
    return aiohttp.BasicAuth(user, password)


def read_date(text: str) -> float | None:
    """Unix seconds of an HTTP date, None for anything else."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
