"""Which proxies a node dials through: the setting, and the environment where it says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mesh.links.proxy import Proxy, ProxyRoutes, bypass_from_environment, routes_from_environment
from node.config_outside import ProxyWord

log = logging.getLogger(__name__)


def choose_proxies(setting: Proxy | ProxyWord, environ: Mapping[str, str]) -> ProxyRoutes:
    """The routes. A useless variable costs a warning, not the start: others wrote it."""
    if setting == "none":
        return ProxyRoutes()
    if isinstance(setting, Proxy):
        return ProxyRoutes(setting, setting, bypass_from_environment(environ))
    try:
        return routes_from_environment(environ)
    except ValueError as error:
        log.warning("no proxy is used: %s", error)
        return ProxyRoutes()
