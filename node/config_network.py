"""Settings of a node's place in the mesh: where it listens, whom it joins, what it may be."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, PlainValidator

from dht.join_address import JoinAddress, parse_join_address
from dht.reachability import ReachSetting
from mesh.capability import Role
from mesh.errors import ConfigError
from mesh.links.fair_share import RATE
from node.config_addresses import Address, parse_address, parse_url
from node.config_values import (
    BadValue,
    parse_bool,
    parse_choice,
    parse_float,
    parse_grant,
    parse_list,
    parse_size,
)
from node.network import parse_network
from node.setting import setting


def parse_join(raw: object) -> JoinAddress:
    """[ID@]HOST:PORT, or a tcp, ws or wss URL in place of HOST:PORT."""
    if isinstance(raw, JoinAddress):
        return raw
    try:
        return parse_join_address(str(raw))
    except ConfigError as error:
        raise BadValue(raw, error.allowed) from None


class NetworkSettings(BaseModel):
    """The part of `node.config.Config` that is about other nodes."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    mesh: Annotated[Address, PlainValidator(parse_address)] = setting(
        Address("0.0.0.0", 7718),
        "Where links from other nodes are taken; port 0 picks a free one.",
        flag="--mesh",
        metavar="HOST:PORT",
        cost="On 0.0.0.0 every network of this machine can reach the port; who is not a node of "
        "the same mesh is turned away in the handshake.",
    )
    join: Annotated[tuple[JoinAddress, ...], PlainValidator(parse_list(parse_join))] = setting(
        (),
        "Nodes to join through. With ID@ the answering node must prove that id.",
        flag="--join",
        metavar="[ID@]HOST:PORT",
        cost="Each is dialled at start and again while the node is isolated.",
    )
    edge: Annotated[tuple[str, ...], PlainValidator(parse_list(parse_url))] = setting(
        (),
        "Edge routers to ask for nodes when neither remembered nor given nor local ones answer.",
        flag="--edge",
        metavar="URL",
        cost="Each learns this machine's public address.",
    )
    network: Annotated[str, PlainValidator(parse_network)] = setting(
        "local",
        "Name of the network, or the id that `electrons mesh create` printed. Nodes of different "
        "networks never mix. A mesh with an id takes members only; with +open after the id this "
        "node takes strangers as well, and trusts them with nothing.",
        flag="--network",
        metavar="NAME",
    )
    mdns: Annotated[bool, PlainValidator(parse_bool)] = setting(
        True,
        "Find nodes on the local network, and be found, by multicast DNS.",
        flag="--no-mdns",
        cost="The local network sees the node's id, name of the network and mesh port.",
    )
    reach: Annotated[ReachSetting, PlainValidator(parse_choice(get_args(ReachSetting)))] = setting(
        "auto",
        "Whether nodes elsewhere can dial this one: auto asks peers to try, public and private say "
        "so without asking. A private node is reached through relays.",
        flag="--reach",
        metavar="auto|public|private",
    )
    port_mapping: Annotated[bool, PlainValidator(parse_bool)] = setting(
        True,
        "Ask the home router by UPnP to forward a port when peers say that nobody gets in. Needs "
        "the extra `upnp`: pip install 'distributed-electrons[upnp]'.",
        flag="--no-port-mapping",
        cost="Whoever finds the port can try to connect; who is not a node of the same mesh is "
        "turned away in the handshake.",
    )
    roles: Annotated[tuple[Role, ...], PlainValidator(parse_list(parse_choice(get_args(Role))))] = (
        setting(
            ("gateway", "worker"),
            "What the node does for others: gateway, worker, storage, relay, coordinator. Roles "
            "that this release cannot take yet are accepted, not advertised, shown by `status`.",
            flag="--roles",
            metavar="ROLE,...",
        )
    )
    punch: Annotated[bool, PlainValidator(parse_bool)] = setting(
        True,
        "Make relayed links direct by UDP where both routers let that through. Needs the extra "
        "`punch`; without it relays carry everything.",
        flag="--no-punch",
        cost="One UDP port once it is first needed, and about 15 MiB of memory.",
    )
    relay_rate: Annotated[int, PlainValidator(parse_size)] = setting(
        RATE,
        "What a node with the role relay passes on in all, shared evenly among those who send.",
        flag="--relay-rate",
        metavar="SIZE",
        unit="bytes a second, or with a suffix: 8MiB",
        cost="That much of this machine's connection, both ways, and about one core for 500 MiB/s.",
    )
    grants: Annotated[tuple[str, ...], PlainValidator(parse_list(parse_grant))] = setting(
        (),
        "Roles of trust that the mesh's owner gave this node: lines printed by `electrons mesh "
        "grant`. Those in the data folder's file `grants` count as well.",
        flag="--grant",
        metavar="GRANT",
    )
    grant_life: Annotated[float, PlainValidator(parse_float(3, 31 * 86_400))] = setting(
        7 * 86_400.0,
        "How long the grants last that this coordinator gives to members; they are renewed without "
        "anybody's doing after two thirds of it.",
        unit="seconds",
        cost="Longer: a node that no list of revocations reaches is believed for longer. Shorter: "
        "one that was switched off for longer has to find a coordinator first.",
    )
