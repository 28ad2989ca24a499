"""What goes wrong, and when: crashes, cuts, wiped disks, and changes in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from chaos.consensus import stories
from chaos.consensus.cluster import Cluster
from chaos.consensus.member import Member
from coordinator.consensus.membership import Change
from mesh.errors import NoQuorum

CHANGES: tuple[Change, ...] = ("add", "promote", "promote", "demote", "remove")
Profile = Literal["all", "elections", "members", "disks", "stories", "cuts", "votes"]
Action = Literal[
    "crash_one",
    "crash_leader",
    "crash_all",
    "stutter",
    "cut",
    "isolate_leader",
    "heal",
    "change_members",
    "transfer",
    "compact",
    "lose_tail",
    "lose_disk",
    "old_entry",
    "rival_lists",
]
PROFILES: Mapping[Profile, Mapping[Action, int]] = {
    "all": {
        "crash_one": 4,
        "crash_leader": 2,
        "crash_all": 1,
        "stutter": 1,
        "cut": 3,
        "isolate_leader": 3,
        "heal": 4,
        "change_members": 6,
        "transfer": 2,
        "compact": 3,
        "lose_tail": 1,
        "lose_disk": 1,
    },
    "elections": {
        "stutter": 3,
        "crash_leader": 5,
        "isolate_leader": 5,
        "cut": 5,
        "heal": 8,
        "transfer": 2,
    },
    "cuts": {"isolate_leader": 4, "cut": 2, "heal": 6},
    "votes": {"isolate_leader": 4, "heal": 6},
    "members": {
        "change_members": 24,
        "isolate_leader": 4,
        "cut": 6,
        "heal": 6,
        "crash_leader": 3,
        "transfer": 2,
    },
    "stories": {"old_entry": 1, "rival_lists": 1},
    "disks": {"lose_tail": 6, "lose_disk": 3, "compact": 2, "heal": 4, "crash_all": 1},
}
"""How often each misfortune happens, against the others."""


class Nemesis:
    """Draws one misfortune after the other from the seed."""

    def __init__(self, cluster: Cluster, profile: Profile) -> None:
        self._cluster = cluster
        self._rng = cluster.rng
        self._weights = PROFILES[profile]
        pauses = {"stories": (1.0,), "cuts": (0.15, 0.4), "votes": (0.3,)}
        self._pause = cluster.rng.choice(pauses.get(profile, (0.04, 0.1, 0.3)))
        self._may_wipe = True
        self._may_change = True
        if profile == "votes":
            # Candidates stand at the same time, and voters are back before the other one asks.
            cluster.crash_after_vote = 0.9
            cluster.network.delay, cluster.network.doubling = 0.04, 0.4

    def go_on(self, until: float) -> None:
        """Plan misfortunes up to a time."""
        actions, weights = list(self._weights), list(self._weights.values())
        when = self._cluster.now
        while (when := when + self._rng.expovariate(1 / self._pause)) < until:
            (choice,) = self._rng.choices(actions, weights)
            self._cluster.at(when, getattr(self, choice))

    def _later(self, delay: float) -> float:
        return self._cluster.now + delay

    def _draw(self) -> Member:
        return self._rng.choice(list(self._cluster.members.values()))

    def crash_one(self) -> None:
        """Any member."""
        self._cluster.crash(self._draw(), self._rng.uniform(0.01, 0.8))

    def crash_leader(self) -> None:
        """The one it hurts most."""
        leader = self._cluster.leader()
        if leader is not None:
            self._cluster.crash(leader, self._rng.uniform(0.01, 0.8))

    def crash_all(self) -> None:
        """A power failure."""
        for member in self._cluster.members.values():
            self._cluster.crash(member, self._rng.uniform(0.01, 0.3))

    def stutter(self) -> None:
        """Members crash and are back at once, again and again."""
        for count in range(10):
            self._cluster.at(
                self._later(count * 0.03), lambda: self._cluster.crash(self._draw(), 0.005)
            )

    def cut(self) -> None:
        """A random side, sometimes only one way."""
        nodes = self._cluster.nodes
        side = set(self._rng.sample(nodes, self._rng.randint(1, max(1, len(nodes) - 1))))
        self._cluster.network.isolate(side, nodes, one_way=self._rng.random() < 0.3)

    def isolate_leader(self) -> None:
        """It may go on believing that it leads."""
        leader = self._cluster.leader()
        if leader is not None:
            one_way = self._rng.random() < 0.3
            self._isolate(leader, one_way=one_way)

    def _isolate(self, member: Member, *, one_way: bool = False) -> None:
        self._cluster.network.isolate({member.node}, self._cluster.nodes, one_way=one_way)

    def heal(self) -> None:
        """All cuts."""
        self._cluster.network.cut.clear()

    def change_members(self) -> None:
        """Anything that the rules allow just now, by all that think they may."""
        for member, raft in self._cluster.would_be_leaders() if self._may_change else ():
            node = self._rng.choice(self._cluster.nodes)
            try:
                raft.change_members(self._rng.choice(CHANGES), node, member.now)
            except NoQuorum:
                continue
            member.pump()

    def transfer(self) -> None:
        """To anybody."""
        found = self._cluster.raft_of_leader()
        if found is not None:
            member, raft = found
            try:
                raft.transfer(self._rng.choice(self._cluster.nodes), member.now)
            except NoQuorum:
                return
            member.pump()

    def compact(self) -> None:
        """Here and there, so that some members need snapshots."""
        for member in self._cluster.members.values():
            if self._rng.random() < 0.6:
                member.compact(keep=self._rng.choice((0, 0, 3)))

    def lose_tail(self) -> None:
        """What one of two had not written is lost, and the other one is cut off.

        A third misses the newest entries; then it and the one that crashed are the majority.
        """
        trio = self._voters()
        if trio is None:
            return
        leader, behind, ahead = trio
        self.heal()
        self._isolate(behind)
        loser, keeper = self._rng.sample((leader, ahead), 2)

        def strike() -> None:
            self.heal()
            self._cluster.crash(loser, 0.02)
            self._isolate(keeper)

        self._cluster.at(self._later(self._rng.uniform(0.05, 0.25)), strike)

    def lose_disk(self) -> None:
        """One disk is lost, once, where enough others are left; the leader falls silent, too."""
        trio = self._voters()
        if trio is None or not self._may_wipe:
            return
        # A change under way might make the member that is about to lose everything indispensable.
        self._may_wipe = self._may_change = False
        leader, behind, wiped = trio
        self.heal()
        self._isolate(behind)

        def strike() -> None:
            self.heal()
            self._isolate(leader)
            wiped.crash()
            quietly = self._cluster.habits.wipes_quietly
            wiped.wipe(0 if quietly else self._rng.getrandbits(40) + 1)
            wiped.start()

        self._cluster.at(self._later(self._rng.uniform(0.1, 0.3)), strike)

    def old_entry(self) -> None:
        """Raft's figure 8; see `stories`."""
        stories.old_entry(self._cluster)

    def rival_lists(self) -> None:
        """Two lists of members without a common majority; see `stories`."""
        if self._may_change:
            stories.rival_lists(self._cluster)

    def _voters(self) -> tuple[Member, Member, Member] | None:
        """The leader and two more, where there are at least three."""
        found = self._cluster.raft_of_leader()
        if found is None:
            return None
        leader, raft = found
        if raft.status(leader.now).members != raft.mark_at(leader.machine.applied).members:
            return None
        voters = [node for node in raft.status(leader.now).members.voters if node != leader.node]
        if len(voters) < 2 or leader.node not in self._cluster.members:
            return None
        first, second = self._rng.sample(voters, 2)
        return leader, self._cluster.members[first], self._cluster.members[second]
