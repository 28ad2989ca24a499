"""DNS: whether the names in the settings lead anywhere."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence

from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, skipped
from node.doctor.patient import Patient
from node.doctor.routes import routes_of
from node.doctor.targets import targets_of

AREA = "names"
RESOLVE_SECONDS = 5.0


async def examine_names(patient: Patient) -> Sequence[Finding]:
    """See `judge_names`."""
    hosts = _names(patient)
    found = await asyncio.gather(*(_resolve(patient, host) for host in hosts))
    return judge_names(dict(zip(hosts, found, strict=True)))


def judge_names(errors: Mapping[str, str]) -> tuple[Finding, ...]:
    """`errors`: by name, why it leads nowhere; "" where it leads somewhere."""
    if not errors:
        return (skipped(AREA, "The settings hold no names, only addresses"),)
    failed = {host: error for host, error in errors.items() if error}
    if not failed:
        return (ok(AREA, f"All {len(errors)} names in the settings lead somewhere"),)
    if len(failed) == len(errors):
        what = f"None of the names in the settings lead anywhere ({', '.join(failed)})"
        cure = "see whether DNS works at all (/etc/resolv.conf, the container's network), then the "
        return (problem(AREA, what, cure + "spelling", next(iter(failed.values()))),)
    return tuple(
        problem(AREA, f"The name {host} leads nowhere", "correct its spelling in the settings", why)
        for host, why in failed.items()
    )


def _names(patient: Patient) -> tuple[str, ...]:
    hosts = [target.host for target in targets_of(patient)]
    routes = routes_of(patient)
    hosts += [proxy.host for proxy in (routes.secure, routes.plain) if proxy is not None]
    return tuple(dict.fromkeys(host for host in hosts if host and not _is_number(host)))


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _resolve(patient: Patient, host: str) -> str:
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await aside(lambda: patient.instruments.resolve(host))
    except TimeoutError:
        return f"no answer from the resolver within {RESOLVE_SECONDS:g} s"
    except (OSError, UnicodeError) as error:
        return str(error) or type(error).__name__
    return "" if found else "no address"
