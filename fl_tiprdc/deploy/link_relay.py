"""A process that carries packets between a server and its clients' hosts, each behind a slow link.

Started by `emulated_hosts`, with file descriptors of TUN devices; it ends with its parent. Linux has netem for this,
which many kernels of containers lack; here only TUN is needed.
"""

import contextlib
import heapq
import os
import random
import select
import sys
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from time import monotonic
from typing import NamedTuple

MTU = 1500
QUEUE = 0.2  # seconds of packets that wait for a link at most; what comes then is lost, as in a router
SOURCE, DESTINATION = slice(12, 16), slice(16, 20)  # of an IPv4 header


class Link(NamedTuple):
    """Describe a client's link.

    Attributes:
        delay: milliseconds each way.
        rate: Mbit/s each way.
        loss: per cent of packets that are lost, each way.
    """

    delay: float
    rate: float
    loss: float


class Way:
    """Carry one direction of a link.

    Args:
        link: what it is like.
        chance: decides which packets are lost.
    """

    def __init__(self, link: Link, chance: random.Random) -> None:
        self._link, self._chance, self._free = link, chance, 0.0

    def arrival(self, size: int, now: float) -> float | None:
        """Return when a packet of `size` bytes that is sent now arrives, in seconds; None: it is lost."""
        begins = max(now, self._free)
        if begins - now > QUEUE or self._chance.random() * 100 < self._link.loss:
            return None
        self._free = begins + size * 8 / (self._link.rate * 1e6)
        return self._free + self._link.delay / 1e3


def relay(server: int, address: bytes, clients: Mapping[bytes, int], link: Link, end: int) -> None:
    """Carry packets between the server and each client, and none between clients, until `end` is closed.

    Args:
        server: TUN device of the server.
        address: the server's IPv4 address.
        clients: IPv4 address of a client's host -> its TUN device.
        link: what each client's link is like.
        end: a pipe's end.
    """
    chance = random.Random(0)
    up, down = ({client: Way(link, chance) for client in clients} for _ in range(2))
    of_device = {device: client for client, device in clients.items()}
    under_way: list[tuple[float, int, int, bytes]] = []
    count = 0
    devices = [server, *clients.values(), end]
    while True:
        now = monotonic()
        while under_way and under_way[0][0] <= now:
            _, _, device, packet = heapq.heappop(under_way)
            with contextlib.suppress(OSError):  # a device that is full or down loses it
                os.write(device, packet)
        wait = max(0.0, under_way[0][0] - now) if under_way else None
        for device in select.select(devices, [], [], wait)[0]:
            if device == end:
                return
            packet = os.read(device, MTU + 100)
            if packet[0] >> 4 != 4:
                continue
            client = packet[DESTINATION] if device == server else of_device[device]
            if device != server and (packet[SOURCE], packet[DESTINATION]) != (client, address):
                continue  # the server's kernel might send it on to another client
            ways = (down if device == server else up).get(client)
            arrival = ways.arrival(len(packet), monotonic()) if ways else None
            if arrival is not None:
                count += 1
                heapq.heappush(under_way, (arrival, count, clients[client] if device == server else server, packet))


def main(arguments: Sequence[str]) -> None:
    """Carry packets: the end's descriptor, the link's three numbers, and ADDRESS=DESCRIPTOR of server and clients."""
    pairs = (pair.split("=") for pair in arguments[4:])
    (address, server), *clients = ((IPv4Address(address).packed, int(device)) for address, device in pairs)
    relay(server, address, dict(clients), Link(*map(float, arguments[1:4])), int(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
