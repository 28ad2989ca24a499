"""What is fuzzed: each target takes any bytes and may raise only what its contract allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.capability import Load, NodeRecord
from mesh.consensus import Entry, GroupReport, Members, SnapshotMark
from mesh.errors import HandshakeError, RecordRejected, WireError
from mesh.identity.grants import decode_grant, encode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.mesh import mesh_of_network
from mesh.ids import JobId
from mesh.jobs import Chunk, Finish, JobSpec, Usage
from mesh.links.greeting import MAX_HANDSHAKE_BYTES, Greeting
from mesh.links.handshake import DialledHandshake, DiallerHandshake
from mesh.links.multiplexer import Multiplexer, StreamOpened
from mesh.links.pipe import PipeReceiver
from mesh.links.tls import TlsChannel, TlsIdentity
from mesh.ports import Priority
from mesh.wire import (
    admission,
    commands,
    consensus,
    dht,
    discovery,
    door,
    frames,
    group,
    jobs,
    records,
    registry,
    revocation,
)
from mesh.wire.frames import (
    CHALLENGE,
    CREDIT,
    DATA,
    FIN,
    GOAWAY,
    HELLO,
    MAX_PAYLOAD,
    MORE,
    NOTICE,
    OPEN,
    PING,
    PONG,
    PROOF,
    RESET,
    FrameDecoder,
    encode_frame,
)
from mesh.wire.hello import Hello, hello_fields, parse_hello
from tests.fuzz import admission_inputs, door_inputs, trust_inputs

MESH = mesh_of_network("fuzz")
# Fixed keys, so that a kept input means the same at every run.
NEAR, FAR = (NodeKey(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2))
ROOT = RootKey(Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32))
NEAR_TLS, FAR_TLS = TlsIdentity(NEAR), TlsIdentity(FAR)


@dataclass(frozen=True)
class Target:
    """`run` returns a short word for what happened; new words make an input worth keeping."""

    run: Callable[[bytes], str]
    allowed: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    memory: int
    """Bytes one input may make this process hold."""
    share: int = 1
    """Of the fuzzing time."""


def hello_of(key: NodeKey) -> Hello:
    """A hello with every field filled."""
    grant = issue_grant(
        ROOT, mesh_id=ROOT.mesh_id, node_id=key.node_id, roles=["relay"], not_after=2e9
    )
    return Hello(
        mesh_id=MESH,
        public_key=key.public_key,
        boot_counter=7,
        boot_id="0011",
        versions=(1,),
        roles=("worker", "relay"),
        grants=(encode_grant(grant),),
        addresses=("tcp://10.0.0.1:9000",),
        software="electrons 1.0",
        link_number=3,
    )


# ── targets ─────────────────────────────────────────────────────────────────────────────────────


def run_multiplexer(data: bytes) -> str:
    """A peer's frames, some streams read and some not, while this side has streams of its own."""
    core = Multiplexer(dialler=False)
    own = core.open(1, Priority.CHUNK)
    core.send(own, b"x" * 50_000)
    core.ping(0.0)
    seen = []
    half = len(data) // 2
    for piece in (data[:half], data[half:]):
        for event in core.receive(piece, 1.0):
            seen.append(type(event).__name__[:3])
            if isinstance(event, StreamOpened) and event.stream.id % 4 == 1:
                core.send(event.stream, b"answer")
        for stream in list(core.streams.values()):
            while stream.id % 3 and core.take(stream) is not None:
                seen.append("t")
        core.data_to_send(1 << 20)
    return f"{len(seen)}{''.join(seen[:6])}"


def run_hello(data: bytes) -> str:
    """The map inside a HELLO frame."""
    fields = [parse_hello(frame[1]) for frame in FrameDecoder().feed(data)]
    return str(len(fields))


def run_dialled(data: bytes) -> str:
    """A dialler's frames to the dialled end."""
    handshake = DialledHandshake(
        FAR, MESH, introduce=lambda _: hello_of(FAR), admit=lambda a, b: None
    )
    handshake.start(b"")
    for frame in FrameDecoder().feed(data):
        handshake.receive(frame)
    return f"{handshake.hello is None}"


def run_dialler(data: bytes) -> str:
    """The dialled end's frames to the dialler."""
    handshake = DiallerHandshake(
        NEAR, expected=None, introduce=lambda _: hello_of(NEAR), admit=lambda a, b: None
    )
    handshake.start(FAR.public_key)
    for frame in FrameDecoder().feed(data):
        handshake.receive(frame)
    return f"{handshake.own is None}{handshake.hello is None}"


class DeadEndPipe:
    """A pipe that leads nowhere."""

    remote = "tcp://192.0.2.1:1"
    source = "192.0.2.1"

    def __init__(self) -> None:
        self.written = 0
        self.closed = False

    def attach(self, receiver: PipeReceiver) -> None: ...

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    abort = close


def run_mesh_port(data: bytes) -> str:
    """Raw bytes at the mesh port: nothing may come out but one failure."""
    return asyncio.run(_greet(data))


async def _greet(data: bytes) -> str:
    failures: list[HandshakeError] = []
    pipe = DeadEndPipe()
    greeting = Greeting(
        pipe,
        FAR_TLS.channel(dialler=False),
        DialledHandshake(FAR, MESH, introduce=lambda _: hello_of(FAR), admit=lambda a, b: None),
        done=lambda greeted: failures.append(HandshakeError("a stranger got in")),
        failed=failures.append,
    )
    greeting.start()
    for start in range(0, len(data), 1000):
        greeting.data_received(data[start : start + 1000])
    greeting.cancel()
    assert len(failures) == 1
    assert pipe.closed
    assert "stranger" not in str(failures[0])
    assert pipe.written < MAX_HANDSHAKE_BYTES
    return str(failures[0])[:40]


def run_tls_records(data: bytes) -> str:
    """Bytes in the middle of an established TLS connection."""
    near, far = connected_tls()
    return f"{len(far.receive(near.write(b'before') + data))}{far.ended}"


def connected_tls() -> tuple[TlsChannel, TlsChannel]:
    """Two TLS ends that have shaken hands."""
    near, far = NEAR_TLS.channel(dialler=True), FAR_TLS.channel(dialler=False)
    data = near.start()
    while data:
        far.receive(data)
        near.receive(far.pending_output())
        data = near.pending_output()
    return near, far


def run_grant(data: bytes) -> str:
    """An encoded grant."""
    return f"{decode_grant(data).issuer is None}"


def run_decoder(decode: Callable[[bytes], object]) -> Callable[[bytes], str]:
    """Any codec of mesh.wire that takes a whole message."""
    return lambda data: type(decode(data)).__name__


# ── seeds ───────────────────────────────────────────────────────────────────────────────────────

LINK_SEEDS = (
    encode_frame(OPEN, 1, 1, 1) + encode_frame(DATA, 1, FIN, b"request"),
    encode_frame(OPEN, 1, 1, 1)
    + encode_frame(DATA, 1, MORE, b"x" * MAX_PAYLOAD)
    + encode_frame(DATA, 1, 0, b"rest")
    + encode_frame(RESET, 1, 5, "enough"),
    encode_frame(DATA, 2, 0, b"answer") + encode_frame(CREDIT, 2, 1000) + encode_frame(PONG, 1),
    encode_frame(PING, 9) + encode_frame(NOTICE, 1, "look") + encode_frame(GOAWAY, 2, "idle"),
    b"".join(encode_frame(OPEN, 2 * n + 1, 3, n % 3) for n in range(40)),
)
HELLO_SEED = encode_frame(HELLO, hello_fields(hello_of(NEAR)))
HANDSHAKE_SEEDS = (
    encode_frame(PROOF, MESH, NEAR.public_key, bytes(64)) + HELLO_SEED,
    encode_frame(CHALLENGE, bytes(32)) + encode_frame(HELLO, hello_fields(hello_of(FAR))),
    encode_frame(GOAWAY, 10, "another mesh"),
)
GRANT_SEED = hello_of(NEAR).grants[0]
OFFER_SEED = jobs.encode_offer(
    jobs.Offer(
        job_id=JobId("0" * 32),
        attempt=1,
        origin=NEAR.node_id,
        tenant="local",
        privacy="public",
        priority=0,
        deadline=5.0,
        hops=0,
        job=JobSpec("chat", "demo", messages=({"role": "user", "content": "hello"},)),
    )
)[0]
RESUMED_SEED = (
    b'{"kind":"chat","model":"m","messages":[{"role":"user","content":"hello"}],'
    b'"resume":[{"text":"Once upon","token_ids":[5,66,777],"finished":false}]}'
)
WORKER_SEEDS = (
    jobs.encode(Chunk("text", token_ids=(1, 2), delta={"role": "assistant"}, end="length")),
    jobs.encode(jobs.Refuse("busy", "later", 1.0)),
    jobs.encode(jobs.Finished(Finish(("stop",), Usage(1, 2)))),
)
NODE_RECORD = records.sign_node(
    NEAR, MESH, NodeRecord(NEAR.node_id, 1, 1e9, 60.0, ("tcp://10.0.0.1:1",), ("worker",))
).data
DELTA_SEED = registry.encode(
    registry.Delta(
        7, ((60.0, NODE_RECORD),), ((NEAR.node_id, Load(1)),), ((FAR.node_id, 3),), (FAR.node_id,)
    )
)
GROUP_REQUEST_SEEDS = tuple(
    group.encode_request(request)
    for request in (
        group.Membership("ab" * 16),
        group.Propose(b"a command"),
        group.ReadIndex(),
        group.AskReport(),
    )
)
GROUP_ANSWER_SEEDS = tuple(
    group.encode_answer(answer)
    for answer in (
        group.Applied(b"outcome"),
        group.Elsewhere(NEAR.node_id),
        group.Refused("later"),
        GroupReport(
            group="ab" * 16,
            reporter=NEAR.node_id,
            leader=FAR.node_id,
            term=3,
            members=Members((NEAR.node_id, FAR.node_id)),
            lag={FAR.node_id: 4},
            silent=(FAR.node_id,),
        ),
    )
)
CONSENSUS_SEEDS = tuple(
    consensus.encode(message)
    for message in (
        consensus.VoteRequest(3, 4, 2, pre=True),
        consensus.VoteAnswer(3, granted=True),
        consensus.Append(
            3, 4, 2, 4, 9, (Entry(5, 3, "command", b"x"), Entry(6, 3, "empty", b"")), readmit=7
        ),
        consensus.Appended(3, True, 4, 6, 3, 9, 6),
        consensus.SnapshotChunk(
            3, SnapshotMark(4, 2, Members((NEAR.node_id,))), bytes(32), 0, b"bytes", True
        ),
        consensus.ChunkAnswer(3, 4, 5),
        consensus.TimeoutNow(3),
    )
)
MiB = 1024 * 1024
NESTED = 100 * MiB
"""msgpack makes room for what nested arrays announce; gone again when they turn out to be empty."""

TARGETS: dict[str, Target] = {
    "multiplexer": Target(run_multiplexer, (WireError,), LINK_SEEDS, 4 * MiB, 5),
    "hello": Target(run_hello, (WireError,), (HELLO_SEED,), MiB),
    "dialled": Target(run_dialled, (WireError, HandshakeError), HANDSHAKE_SEEDS, MiB, 2),
    "dialler": Target(run_dialler, (WireError, HandshakeError), HANDSHAKE_SEEDS, MiB, 2),
    "mesh_port": Target(run_mesh_port, (), (NEAR_TLS.channel(dialler=True).start(),), MiB, 2),
    "tls_records": Target(run_tls_records, (HandshakeError,), (b"\x17\x03\x03\x00\x20", b""), MiB),
    "grant": Target(run_grant, (RecordRejected,), (GRANT_SEED,), MiB),
    "offer": Target(run_decoder(jobs.decode_offer), (WireError,), (OFFER_SEED,), NESTED),
    "resumed_job": Target(run_decoder(jobs.decode_job), (WireError,), (RESUMED_SEED,), MiB),
    "taken": Target(run_decoder(jobs.decode_taken), (WireError,), (jobs.encode_taken(8),), NESTED),
    "worker_message": Target(run_decoder(jobs.decode), (WireError,), WORKER_SEEDS, NESTED),
    "node_record": Target(
        run_decoder(lambda data: records.open_node(data, MESH, 1e9)),
        (WireError, RecordRejected),
        (NODE_RECORD,),
        NESTED,
    ),
    "discovery": Target(
        run_decoder(discovery.decode),
        (WireError,),
        (discovery.encode(discovery.LoadReport(Load(1, 2, 3))),),
        NESTED,
    ),
    "registry_delta": Target(
        run_decoder(registry.decode_delta), (WireError,), (DELTA_SEED,), NESTED
    ),
    "dht_request": Target(
        run_decoder(dht.decode_request),
        (WireError,),
        (dht.encode(dht.FindNodes(dht.Self(), bytes(20))),),
        NESTED,
    ),
    "group_request": Target(
        run_decoder(group.decode_request), (WireError,), GROUP_REQUEST_SEEDS, NESTED
    ),
    "group_answer": Target(
        run_decoder(group.decode_answer), (WireError,), GROUP_ANSWER_SEEDS, NESTED
    ),
    "door_request": Target(
        run_decoder(door.decode_request), (WireError,), door_inputs.REQUESTS, MiB
    ),
    "door_answer": Target(run_decoder(door.decode_answer), (WireError,), door_inputs.ANSWERS, MiB),
    "server_name": Target(door_inputs.run_server_name, (WireError,), (door_inputs.HELLO,), MiB, 2),
    "ticket": Target(trust_inputs.run_ticket, (RecordRejected,), (trust_inputs.TICKET,), MiB),
    "revocations": Target(
        run_decoder(revocation.decode_revocations),
        (WireError, RecordRejected),
        (trust_inputs.LIST,),
        NESTED,
    ),
    "revocation_message": Target(
        run_decoder(revocation.decode), (WireError,), trust_inputs.MESSAGES, NESTED
    ),
    "admission_request": Target(
        run_decoder(admission.decode_request), (WireError,), admission_inputs.REQUESTS, NESTED
    ),
    "admission_answer": Target(
        run_decoder(admission.decode_answer), (WireError,), admission_inputs.ANSWERS, NESTED
    ),
    "command": Target(
        run_decoder(commands.decode_command), (WireError,), admission_inputs.COMMANDS, NESTED
    ),
    "consensus": Target(run_decoder(consensus.decode), (WireError,), CONSENSUS_SEEDS, NESTED),
    "frame": Target(run_decoder(frames.decode_frame), (WireError,), (HELLO_SEED[4:],), 2 * MiB),
}
