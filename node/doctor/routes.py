"""Which place the node would reach through which proxy."""

from __future__ import annotations

from mesh.links.pipe import Address
from mesh.links.proxy import Proxy, ProxyRoutes
from node.doctor.patient import Patient
from node.doctor.targets import Target
from node.proxies import choose_proxies

_LIKE_PIPES = {"http": "ws", "https": "wss"}


def routes_of(patient: Patient) -> ProxyRoutes:
    """The routes by its settings, or by the environment alone where they do not load."""
    setting = patient.config.proxy if patient.config is not None else "environment"
    return choose_proxies(setting, patient.environ)


def proxy_for(patient: Patient, target: Target) -> Proxy | None:
    """The proxy for one place; None when it is reached directly (NO_PROXY, this machine)."""
    scheme = _LIKE_PIPES.get(target.scheme, target.scheme)
    return routes_of(patient).proxy_for(Address(scheme, target.host, target.port))
