"""What is kept of a request, who may see it, and how it reads."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import orjson

from coordinator.scheduling.account import account_for
from coordinator.scheduling.policy import Candidate, Demand, decide
from coordinator.scheduling.trace import MAX_CODE, MAX_SHOWN, MAX_STEPS, Trace, Traces
from mesh.capability import Load, ModelRef, ServedModel
from mesh.ids import JobId, NodeId
from mesh.ports import Principal, Request

ONE, TWO = NodeId("1" * 40), NodeId("2" * 40)
JOB = JobId("0" * 32)


def request(tenant: str = "tenant", request_id: str = "mine", job: JobId = JOB) -> Request:
    return Request(job, Principal(tenant), 10.0, request_id=request_id)


def candidate(node: NodeId, **changes: object) -> Candidate:
    served = ServedModel(ModelRef("m", "test"), 4)
    base = Candidate(node, served, Load(slots=4, job_seconds=0.5), 0.01)
    return replace(base, **changes)  # type: ignore[arg-type]


def eventful() -> Trace:
    trace = Traces().open(request(), "m", 100.0)
    found = [candidate(ONE), candidate(TWO, busy=9), candidate(NodeId("3" * 40), state="draining")]
    trace.decided(100.0, decide(found, Demand(), Random(1), known=4_000))
    trace.offered(100.001, TWO, 1)
    trace.refused(100.002, TWO, "busy", 1.25)
    trace.offered(100.003, ONE, 2)
    trace.accepted(100.01, ONE)
    trace.started_answering(100.2, ONE)
    trace.lost(100.5, ONE, "link_crash", 120)
    trace.resumed(100.9, TWO, 120)
    trace.finished(101.5, TWO)
    return trace


def test_it_reads_as_plain_sentences() -> None:
    told = account_for(eventful())
    assert told["summary"] == (
        "The request for m was answered in full after 2 offers and 1 lost worker."
    )
    choice = (
        "4,000 nodes known to serve m; left out: 1 leaving; 3 of them were looked at. "
        "11111111 comes first with 0.51 s predicted (way 0.01 + work 0.50); next best 1.51 s."
    )
    assert [step["says"] for step in told["steps"]] == [
        choice,
        "Offered to 22222222 (offer 1).",
        "22222222 refused: it was busy, for about 1.25 s more.",
        "Offered to 11111111 (offer 2).",
        "11111111 took it.",
        "11111111 began to answer.",
        "11111111 was lost after 120 characters: its link broke.",
        "22222222 went on after 120 characters.",
        "22222222 completed the answer.",
    ]
    assert told["outcome"] == "finished"
    assert told["total_ms"] == 1500.0
    orjson.dumps(told)


def test_each_candidate_tells_what_its_prediction_consists_of() -> None:
    decided = account_for(eventful())["steps"][0]
    assert decided["known"] == 4_000
    assert decided["fit"] == 2
    assert decided["excluded"] == {"draining": 1}
    for told in decided["candidates"]:
        parts = sum(told[part] for part in ("queue_ms", "way_ms", "loading_ms", "run_ms"))
        assert abs(parts - told["saved_ms"] - told["predicted_ms"]) < 0.05
    assert [told["jobs"] for told in decided["candidates"]] == [0, 9]


def test_every_kind_of_step_has_a_sentence() -> None:
    trace = Traces().open(request(), "m", 0.0)
    trace.decided(0.0, decide([], Demand(), Random(1)))
    trace.unreachable(0.1, ONE, "timeout")
    trace.waited(0.2, 0.5)
    trace.failed(0.3, "overloaded")
    told = account_for(trace)
    assert all(step["says"] for step in told["steps"])
    assert told["steps"][0]["says"] == "0 nodes known to serve m; nobody was left."
    assert told["outcome"] == "failed"
    gone = Traces().open(request(), "m", 0.0)
    gone.cancelled(1.0)
    assert account_for(gone)["outcome"] == "cancelled"


def test_the_first_end_counts() -> None:
    trace = eventful()
    trace.cancelled(102.0)
    trace.failed(103.0, "job_failed")
    assert trace.outcome == "finished"


def test_a_peers_code_cannot_smuggle_text() -> None:
    trace = Traces().open(request(), "m", 0.0)
    trace.refused(0.0, ONE, "The secret PROMPT: \x1b[31m" + "x" * 1000)
    told = orjson.dumps(account_for(trace)).decode()
    assert len(trace.steps[0].code) == MAX_CODE
    assert "\x1b" not in told
    assert "PROMPT" not in told


def test_one_request_keeps_a_bounded_number_of_steps_with_its_ends() -> None:
    trace = Traces().open(request(), "m", 0.0)
    for attempt in range(500):
        trace.offered(float(attempt), ONE, attempt)
    trace.finished(500.0, ONE)
    assert len(trace.steps) == MAX_STEPS
    assert trace.steps[0].number == 0
    assert trace.outcome == "finished"
    assert account_for(trace)["steps_left_out"] == 501 - MAX_STEPS


def test_one_decision_keeps_a_bounded_number_of_candidates() -> None:
    trace = Traces().open(request(), "m", 0.0)
    many = [candidate(NodeId(f"{number:040x}")) for number in range(64)]
    trace.decided(0.0, decide(many, Demand(), Random(1)))
    (told,) = account_for(trace)["steps"]
    assert len(told["candidates"]) == MAX_SHOWN
    assert told["fit"] == 64


def test_the_oldest_requests_are_forgotten() -> None:
    traces = Traces(most=3)
    for number in range(5):
        traces.open(request(request_id=f"r{number}"), "m", 0.0)
    assert len(traces) == 3
    assert traces.find("r1", None) is None
    assert traces.find("r4", None) is not None


def test_each_tenant_sees_its_own_even_under_one_name() -> None:
    traces = Traces()
    mine = traces.open(request("mine", "same"), "m", 0.0)
    theirs = traces.open(request("theirs", "same"), "m", 1.0)
    assert traces.find("same", "mine") is mine
    assert traces.find("same", "theirs") is theirs
    assert traces.find("same", "third") is None
    assert traces.find("same", None) is theirs
    assert traces.find(JOB, "mine") is mine
