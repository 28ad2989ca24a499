"""Settings about who may see what is asked here, and whose questions are answered."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import BaseModel, PlainValidator

from mesh.ids import NodeId, parse_node_id
from mesh.jobs import Privacy
from node.config_values import BadValue, parse_choice, parse_list
from node.setting import setting


def parse_node(raw: object) -> NodeId:
    """A node's id, as `electrons status` shows it."""
    try:
        return parse_node_id(str(raw).strip())
    except ValueError:
        raise BadValue(raw, "give a node's id: 40 hex digits, see 'electrons status'") from None


class PrivacySettings(BaseModel):
    """The part of `node.config.Config` that is about privacy classes."""

    own_nodes: Annotated[tuple[NodeId, ...], PlainValidator(parse_list(parse_node))] = setting(
        (),
        "Other nodes of the same owner. They may see requests of the class own, and theirs are "
        "served here, once each lists the other.",
        flag="--own-node",
        metavar="ID",
        cost="Whoever holds such a node's key reads requests that are meant for nobody else.",
    )
    default_privacy: Annotated[Privacy, PlainValidator(parse_choice(get_args(Privacy)))] = setting(
        "public",
        "Who may see requests that do not say so by `x-electrons-privacy`: public is anybody, "
        "trusted is nodes with a grant to work for the mesh, own is this node and `own_nodes`.",
        flag="--default-privacy",
        metavar="public|trusted|own",
        cost="Stricter classes leave fewer nodes, and requests fail when there is none.",
    )
