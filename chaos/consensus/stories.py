"""Sequences of events in which known mistakes show, with the timing left to chance."""

from __future__ import annotations

import contextlib

from chaos.consensus.cluster import Cluster
from chaos.consensus.member import Member
from coordinator.consensus.membership import Change
from mesh.errors import NoQuorum
from mesh.ids import NodeId


def old_entry(cluster: Cluster) -> None:
    """Raft, figure 8: an entry of an old term is on a majority, and is overwritten nevertheless.

    The leader is cut off with entries of its own. The next one crashes as soon as it has stored an
    entry. The first leads again, passes its old entries on and crashes; then the second is back.
    """
    found = cluster.raft_of_leader()
    if found is None:
        return
    first = found[0]
    rng = cluster.rng
    cluster.network.cut.clear()
    cluster.network.isolate({first.node}, cluster.nodes, one_way=False)

    def strike_second(second: Member) -> None:
        cluster.network.cut.clear()
        cluster.network.isolate({second.node}, cluster.nodes, one_way=False)
        cluster.when_leads(strike_first)

    def strike_first(again: Member) -> None:
        cluster.at(cluster.now + rng.uniform(0.01, 0.15), lambda: swap(again))

    def swap(again: Member) -> None:
        cluster.network.cut.clear()
        cluster.crash(again, 1.0)

    cluster.when_leads(strike_second)


def rival_lists(cluster: Cluster) -> None:
    """Two leaders change a list of four voters in different ways (Ongaro, raft-dev, July 2015).

    The first adds a fifth voter, and only that one hears of it. The second takes the first out,
    which two of three voters hear. Then the first asks the fifth and the last for their votes.
    """
    found = cluster.raft_of_leader()
    if found is None:
        return
    first, raft = found
    members = raft.status(first.now).members
    others = [node for node in members.voters if node != first.node]
    if len(members.voters) == 5:
        _change(first, "demote", cluster.rng.choice(others))
    if len(members.voters) != 4 or not members.standbys:
        return
    fifth = cluster.rng.choice(members.standbys)
    cluster.network.cut.clear()
    cluster.network.isolate({first.node, fifth}, cluster.nodes, one_way=False)
    _change(first, "promote", fifth)

    def take_out(second: Member) -> None:
        if second.node not in others:
            return
        last = cluster.rng.choice([node for node in others if node != second.node])
        cluster.network.cut.clear()
        side = {first.node, fifth, last}
        cluster.network.isolate(side, cluster.nodes, one_way=False)
        for count in range(20):
            later = cluster.now + 0.01 * count
            cluster.at(later, lambda: _change(second, "remove", first.node))

    cluster.when_leads(take_out)


def _change(member: Member, change: Change, node: NodeId) -> None:
    if member.raft is not None:
        with contextlib.suppress(NoQuorum):
            member.raft.change_members(change, node, member.now)
        member.pump()
