"""Whatever one liar says, and in whatever order peers are heard, the majority's word holds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dht.reach_verdict import UNKNOWN, Finding, Sighting, judge
from mesh.ids import NodeId
from mesh.wire.reach import Outcome

HONEST = [f"{first}.1.1.1" for first in (20, 30, 40, 50)]
LIAR = "60.1.1.1"
ROUTER, PORT = "45.1.1.1", 7718
OUTCOMES: list[Outcome] = ["reached", "refused", "silent"]


def sighting(host: str, observed: str, outcome: Outcome | None) -> Sighting:
    outcomes = {} if outcome is None else {f"tcp://{observed}:{PORT}": outcome}
    return Sighting(NodeId(host), host, observed, outcomes, 0.0)


lies = st.builds(
    sighting,
    st.just(LIAR),
    st.sampled_from([ROUTER, "8.8.8.8", "192.168.1.5", "10.0.0.1", LIAR, *HONEST]),
    st.sampled_from([None, *OUTCOMES]),
)


@settings(max_examples=300, deadline=None)
@given(lie=lies, honest=st.integers(2, 4), reached=st.booleans(), data=st.data())
def test_a_liar_among_two_or_more_honest_peers_changes_nothing(
    lie: Sighting, honest: int, reached: bool, data: st.DataObject
) -> None:
    outcome: Outcome = "reached" if reached else data.draw(st.sampled_from(OUTCOMES[1:]))
    said = [sighting(host, ROUTER, outcome) for host in HONEST[:honest]]
    before = judge(said, ["192.168.1.5"], UNKNOWN, 0.0)
    assert before.state == ("mapped" if reached else "private")
    for start in (UNKNOWN, before):
        heard = data.draw(st.permutations([*said, lie]))
        after = judge(heard, ["192.168.1.5"], start, 0.0)
        assert (after.state, after.addresses) == (before.state, before.addresses)


@settings(deadline=None)
@given(lie=lies, state=st.sampled_from(["mapped", "private", "public"]))
def test_a_liar_alone_does_not_overturn_what_two_have_found(lie: Sighting, state: str) -> None:
    addresses = () if state == "private" else (f"tcp://{ROUTER}:{PORT}",)
    before = Finding(state, addresses, (ROUTER,), 2, 0.0)  # type: ignore[arg-type]
    assert judge([lie], ["192.168.1.5"], before, 1.0) == before
