"""A real nginx in front of nodes, run by whoever runs the tests."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.certificates import certify
from tests.integration.mesh.daemon import until

CONFIGURATION = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
    server {{
        listen 127.0.0.1:{port} ssl;
{locations}
    }}
}}
"""
LOCATION = """
        location {path} {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
"""


@dataclass(frozen=True)
class ReverseProxy:
    """A running nginx."""

    port: int
    folder: Path
    certificate: Path

    def url(self, path: str = "/mesh") -> str:
        return f"wss://127.0.0.1:{self.port}{path}"

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def served(self) -> str:
        """The access log: what went through."""
        return (self.folder / "access.log").read_text()


@asynccontextmanager
async def reverse_proxy(
    folder: Path, port: int, upstreams: Mapping[str, str]
) -> AsyncIterator[ReverseProxy]:
    """Ends TLS on a port and forwards each path to a node's HTTP URL."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise AssertionError("nginx is missing: install it with 'apt-get install nginx-light'")
    folder.mkdir()
    certificate, key = certify().write(folder)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            certificate=certificate,
            key=key,
            port=port,
            locations="".join(
                LOCATION.format(path=path, upstream=upstream)
                for path, upstream in upstreams.items()
            ),
        )
    )
    errors = folder / "errors.txt"
    with errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            program, "-p", str(folder), "-c", str(configuration), stderr=stderr
        )
    try:

        async def answers() -> bool:
            if process.returncode is not None:
                raise AssertionError(f"nginx did not start:\n{errors.read_text()}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await until(answers)
        yield ReverseProxy(port, folder, certificate)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
