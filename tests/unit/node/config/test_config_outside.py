"""Settings of proxies, public addresses and the HTTP port's certificate."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import ConfigError
from mesh.links.proxy import Proxy
from node.config import Config, load_config
from node.config_outside import MAX_PUBLIC_URLS
from tests.fakes.certificates import certify


def load(tmp_path: Path, environ: dict[str, str] | None = None, **flags: object) -> Config:
    return load_config({"data_dir": str(tmp_path), **flags}, environ=environ or {})


def test_defaults(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert (config.proxy, config.public_urls, config.tls_files()) == ("environment", (), None)


def test_what_is_given(tmp_path: Path) -> None:
    certificate, key = certify().write(tmp_path)
    config = load(
        tmp_path,
        proxy="ann:s3cret@proxy.corp:3128",
        public_urls=["wss://node.example", "tcp://203.0.113.7:443"],
        tls_certificate=str(certificate),
        tls_key=str(key),
    )
    assert config.proxy == Proxy("proxy.corp", 3128, "ann:s3cret")
    assert config.public_urls == ("wss://node.example:443/mesh", "tcp://203.0.113.7:443")
    assert config.tls_files() is not None
    assert "s3cret" not in repr(config)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"proxy": "socks5://ann:s3cret@h:1"}, "--proxy: .*socks5:// proxies are not supported"),
        ({"proxy": "https://ann:s3cret@h:1"}, "--proxy: .*https:// proxies are not supported"),
        ({"proxy": "ann:s3cret@h:none"}, "--proxy: .*give http://HOST:PORT"),
        ({"public_urls": ["https://node.example"]}, "--public-url: .*give wss://HOST"),
        ({"public_urls": ["relay://h:1/a/b"]}, "--public-url: .*give wss://HOST"),
        ({"public_urls": ["tcp://node.example"]}, "--public-url: .*give wss://HOST"),
        ({"public_urls": [f"tcp://h:{n}" for n in range(1, MAX_PUBLIC_URLS + 2)]}, "at most 4"),
        ({"tls_certificate": "CERT"}, "--tls-certificate: .*its key is missing"),
        ({"tls_key": "KEY"}, "--tls-key: .*its certificate is missing"),
        ({"tls_certificate": "KEY", "tls_key": "KEY"}, "--tls-certificate: .*no certificate"),
        ({"tls_certificate": "CERT", "tls_key": "TEXT"}, "--tls-key: .*no private key"),
        ({"tls_certificate": "none.pem", "tls_key": "KEY"}, "there is no such file"),
    ],
)
def test_what_is_refused(tmp_path: Path, flags: dict[str, object], words: str) -> None:
    certificate, key = certify().write(tmp_path)
    (tmp_path / "text").write_text("hello")
    paths = {"CERT": str(certificate), "KEY": str(key), "TEXT": str(tmp_path / "text")}
    given = {name: paths.get(str(value), value) for name, value in flags.items()}
    with pytest.raises(ConfigError, match=words) as wrong:
        load(tmp_path, {}, **given)
    assert "s3cret" not in str(wrong.value)
    assert "s3cret" not in repr(wrong.value.value)


def test_the_password_stays_hidden_from_the_environment_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ELECTRONS_PROXY") as wrong:
        load(tmp_path, {"ELECTRONS_PROXY": "ftp://ann:s3cret@h:1"})
    assert "s3cret" not in str(wrong.value)
