"""Copies frames between two interfaces some time later: `delayed_cable.py IN OUT SECONDS`.

In user space, since not every kernel has sch_netem. `delayed_cable.py --plain IF` switches an
interface's offloads off, so that frames leave it whole, small and with their checksums.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import select
import socket
import struct
import sys
import time
from collections import deque

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SIOCETHTOOL = 0x8946
OFFLOADS = (0x17, 0x19, 0x1F, 0x24, 0x2C)
"""linux/ethtool.h: ETHTOOL_STXCSUM, SSG, STSO, SGSO, SGRO."""
RECEIVE_BUFFER = 4 << 20
MAX_FRAME = 70_000
MAX_QUEUED = 20_000
"""Frames on the way in one direction; more are lost, as on a cable with a small router."""
FRAMES_AT_ONCE = 64

Queue = deque[tuple[float, bytes]]


def switch_offloads_off(interface: str) -> None:
    """Harmless where the interface has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        for command in OFFLOADS:
            value = array.array("B", struct.pack("II", command, 0))
            request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
            with contextlib.suppress(OSError):
                fcntl.ioctl(door, SIOCETHTOOL, request)


def tap(interface: str) -> socket.socket:
    """All frames of an interface."""
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    frames.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    frames.bind((interface, ETH_P_ALL))
    frames.setblocking(False)
    return frames


def take(source: socket.socket, queue: Queue, delay: float, buffer: bytearray) -> None:
    """Queue what arrived, and when it is due."""
    for _ in range(FRAMES_AT_ONCE):
        try:
            size, address = source.recvfrom_into(buffer)
        except BlockingIOError:
            return
        if address[2] != PACKET_OUTGOING and len(queue) < MAX_QUEUED:
            queue.append((time.monotonic() + delay, bytes(buffer[:size])))


def give(queue: Queue, target: socket.socket) -> float:
    """Send what is due; seconds until the next is."""
    while queue:
        wait = queue[0][0] - time.monotonic()
        if wait > 0:
            return wait
        with contextlib.suppress(OSError):  # a full queue or a cable that is down loses frames
            target.send(queue.popleft()[1])
    return 1.0


def copy(first: str, second: str, delay: float) -> None:
    """For ever, both ways."""
    ends = tap(first), tap(second)
    queues: tuple[Queue, Queue] = deque(), deque()
    buffer = bytearray(MAX_FRAME)
    wait = 1.0
    print("ready", flush=True)
    while True:
        readable = select.select(ends, (), (), wait)[0]
        for end, queue in zip(ends, queues, strict=True):
            if end in readable:
                take(end, queue, delay, buffer)
        wait = min(give(queues[0], ends[1]), give(queues[1], ends[0]))


if __name__ == "__main__":
    if sys.argv[1] == "--plain":
        switch_offloads_off(sys.argv[2])
    else:
        for name in sys.argv[1:3]:
            switch_offloads_off(name)
        copy(sys.argv[1], sys.argv[2], float(sys.argv[3]))
