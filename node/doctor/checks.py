"""All checks, in the order in which a report lists them."""

from __future__ import annotations

from node.doctor import engines
from node.doctor.certificate import AREA as CERTIFICATE
from node.doctor.certificate import examine_certificate
from node.doctor.clock import AREA as CLOCK
from node.doctor.clock import examine_clock
from node.doctor.edge import AREA as EDGE
from node.doctor.edge import examine_edges
from node.doctor.examination import Check
from node.doctor.folder import AREA as FOLDER
from node.doctor.folder import DISK, examine_disk, examine_folder
from node.doctor.grants import AREA as GRANTS
from node.doctor.grants import examine_grants
from node.doctor.graphics import AREA as GRAPHICS
from node.doctor.graphics import examine_graphics
from node.doctor.listening import AREA as PORTS
from node.doctor.listening import examine_ports
from node.doctor.membership import AREA as MESH
from node.doctor.membership import examine_membership
from node.doctor.memory import AREA as MEMORY
from node.doctor.memory import examine_memory
from node.doctor.names import AREA as NAMES
from node.doctor.names import examine_names
from node.doctor.outbound import AREA as TCP
from node.doctor.outbound import UDP, examine_tcp, examine_udp
from node.doctor.proxy import AREA as PROXY
from node.doctor.proxy import examine_proxy
from node.doctor.reach import REACH, RELAYS, examine_reach, examine_relays
from node.doctor.settings import AREA as SETTINGS
from node.doctor.settings import examine_settings
from node.doctor.software import AREA as SOFTWARE
from node.doctor.software import examine_software

CHECKS: tuple[Check, ...] = (
    Check(SOFTWARE, examine_software),
    Check(SETTINGS, examine_settings),
    Check(FOLDER, examine_folder),
    Check(DISK, examine_disk),
    Check(MEMORY, examine_memory),
    Check(CLOCK, examine_clock),
    Check(NAMES, examine_names),
    Check(PROXY, examine_proxy, 10.0),
    Check(TCP, examine_tcp),
    Check(UDP, examine_udp),
    Check(EDGE, examine_edges, 10.0),
    Check(PORTS, examine_ports),
    Check(CERTIFICATE, examine_certificate),
    Check(MESH, examine_membership),
    Check(REACH, examine_reach),
    Check(RELAYS, examine_relays),
    Check(GRANTS, examine_grants),
    Check(engines.AREA, engines.examine_engines, engines.CHECK_SECONDS),
    Check(GRAPHICS, examine_graphics),
)
