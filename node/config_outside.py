"""Settings of the way in and out: proxies, public addresses, TLS on the HTTP port."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, PlainValidator, model_validator

from mesh.links.pipe import parse_address
from mesh.links.proxy import Proxy, parse_proxy
from node.config_values import SECRET, BadValue, optional, parse_file, parse_list
from node.gateway.tls_files import TlsFault, TlsFiles
from node.setting import setting

ProxyWord = Literal["environment", "none"]

MAX_PUBLIC_URLS = 4
"""Each is in every record of this node, and dialled by peers."""


def parse_proxy_setting(raw: object) -> Proxy | ProxyWord:
    """environment, none, or the URL of an HTTP proxy; the value itself is never shown."""
    if isinstance(raw, Proxy):
        return raw
    text = str(raw).strip()
    for word in get_args(ProxyWord):
        if text == word:
            return "environment" if word == "environment" else "none"
    try:
        return parse_proxy(text)
    except ValueError as error:
        raise BadValue(SECRET, f"{error}; or environment, or none") from None


def parse_public_url(raw: object) -> str:
    """A tcp, ws or wss address under which other nodes reach this one."""
    allowed = "give wss://HOST[:PORT]/mesh, ws://HOST[:PORT]/mesh or tcp://HOST:PORT"
    try:
        address = parse_address(str(raw).strip())
    except ValueError:
        raise BadValue(raw, allowed) from None
    if address.scheme not in ("tcp", "ws", "wss") or "*" in address.host:
        raise BadValue(raw, allowed)
    return str(address)


class OutsideSettings(BaseModel):
    """The part of `node.config.Config` that is about what stands before this node."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    proxy: Annotated[Proxy | ProxyWord, PlainValidator(parse_proxy_setting)] = setting(
        "environment",
        "HTTP proxy for dialling nodes: http://[USER:PASSWORD@]HOST:PORT, none, or environment, "
        "which reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY. ws:// and wss:// addresses are dialled "
        "through it, tcp:// ones where they cannot be reached directly. NO_PROXY always counts.",
        flag="--proxy",
        metavar="URL|environment|none",
        cost="The proxy sees which addresses are dialled and how much is sent, not what.",
    )
    public_urls: Annotated[tuple[str, ...], PlainValidator(parse_list(parse_public_url))] = setting(
        (),
        "Addresses by which others reach this node beside those it listens on: through a reverse "
        "proxy, a tunnel or a forwarded port. wss:// and ws:// lead to the HTTP port's /mesh, "
        "tcp:// to the mesh port.",
        flag="--public-url",
        metavar="URL",
        cost="Each is told to every node and tried by those that dial this one.",
    )
    tls_certificate: Annotated[Path | None, PlainValidator(optional(parse_file))] = setting(
        None,
        "PEM file of the certificate, and of those that link it to its authority: the HTTP port "
        "then speaks HTTPS and wss://. The file is read again when it changes.",
        flag="--tls-certificate",
        metavar="FILE",
    )
    tls_key: Annotated[Path | None, PlainValidator(optional(parse_file))] = setting(
        None,
        "PEM file of the certificate's private key, not encrypted.",
        flag="--tls-key",
        metavar="FILE",
    )

    @model_validator(mode="after")
    def _check_outside(self) -> Self:
        if len(self.public_urls) > MAX_PUBLIC_URLS:
            words = f"give at most {MAX_PUBLIC_URLS}"
            raise BadValue(f"{len(self.public_urls)} URLs", words, setting="public_urls")
        certificate, key = self.tls_certificate, self.tls_key
        if certificate is not None and key is None:
            words = "its key is missing: give --tls-key FILE (tls_key)"
            raise BadValue(str(certificate), words, setting="tls_certificate")
        if key is not None and certificate is None:
            words = "its certificate is missing: give --tls-certificate FILE (tls_certificate)"
            raise BadValue(str(key), words, setting="tls_key")
        try:
            self.tls_files()
        except TlsFault as fault:
            which = "tls_certificate" if fault.path == certificate else "tls_key"
            raise BadValue(str(fault.path), str(fault), setting=which) from None
        return self

    def tls_files(self) -> TlsFiles | None:
        """What the HTTP port serves TLS with; None for none. Raises TlsFault."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return TlsFiles(self.tls_certificate, self.tls_key)
