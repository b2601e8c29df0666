"""Clients' hosts on this machine: what a link does to packets, and what runs behind it."""

import random
import socket
import subprocess
import sys

import pytest

from fl_tiprdc.deploy.emulated_hosts import EmulatedHosts, read_link
from fl_tiprdc.deploy.link_relay import QUEUE, Link, Way
from fl_tiprdc.errors import InputError

# connects, tells the round trip's seconds, then takes all bytes and tells how many seconds they took
CLIENT = """
import socket, sys, time
server = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
began = time.monotonic()
server.sendall(b".")
server.recv(1)
print(time.monotonic() - began)
server.sendall(b".")
began = time.monotonic()
while server.recv(65536):
    pass
print(time.monotonic() - began)
try:
    socket.create_connection((sys.argv[3], 9), timeout=1)
except OSError as error:
    print(type(error).__name__)
"""
BYTES = 1_000_000


def test_a_packet_arrives_after_those_before_it_and_the_delay():
    way = Way(Link(delay=40, rate=8, loss=0), random.Random(0))
    first, second = way.arrival(1000, 5.0), way.arrival(1000, 5.0)
    assert first == pytest.approx(5.041)  # 1 ms at 8 Mbit/s
    assert second == pytest.approx(5.042)
    assert way.arrival(1000, 6.0) == pytest.approx(6.041)


def test_a_link_loses_its_share_and_what_its_queue_can_not_hold():
    lossy = Way(Link(0, 1000, 5), random.Random(0))
    lost = sum(lossy.arrival(100, float(second)) is None for second in range(10_000))
    assert 400 < lost < 600
    slow = Way(Link(0, 8, 0), random.Random(0))
    kept = [slow.arrival(1000, 0.0) for _ in range(1000)]
    assert kept[-1] is None
    assert len([one for one in kept if one is not None]) == pytest.approx(QUEUE * 1000, abs=2)  # 1 ms each
    assert slow.arrival(1000, 1.0) is not None


@pytest.mark.parametrize("text", ["", "40", "40ms,20mbit", "40ms,0mbit,1%", "40ms,20mbit,100%", "-1ms,20mbit,1%"])
def test_a_link_that_is_none_is_refused(text):
    with pytest.raises(InputError, match=r"--link '.*': give delay, rate and loss"):
        read_link(text)


def test_who_may_not_have_hosts_is_told_so(monkeypatch):
    link = read_link("40ms, 20Mbit, 0.5%")
    assert link == (40, 20, 0.5)
    with pytest.raises(InputError, match="at most 253 clients, not 300"):
        EmulatedHosts(300, link)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(InputError, match="network namespaces, which takes root"):
        EmulatedHosts(3, link)


def test_hosts_reach_the_server_through_their_link_and_each_other_not_at_all():
    try:
        with EmulatedHosts(2, Link(40, 20, 0)) as hosts:
            pass
    except InputError as error:
        pytest.skip(str(error))
    with hosts, socket.create_server((hosts.server, 0)) as server:
        names = {hosts.inside(client)[3] for client in range(2)}
        server.settimeout(60)
        other = hosts.server.rpartition(".")[0] + ".3"
        words = [sys.executable, "-c", CLIENT, hosts.server, str(server.getsockname()[1]), other]
        client = subprocess.Popen([*hosts.inside(0), *words], stdout=subprocess.PIPE, text=True)
        connection, (address, _) = server.accept()
        with connection:
            connection.recv(1)
            connection.sendall(b".")
            connection.recv(1)
            connection.sendall(bytes(BYTES))
        said = client.communicate(timeout=60)[0].split()
        assert address == hosts.server.rpartition(".")[0] + ".2"
        assert float(said[0]) > 0.08  # there and back
        assert float(said[1]) > BYTES * 8 / 20e6
        assert said[2] == "TimeoutError"
        with pytest.raises(InputError, match="can't be made"), EmulatedHosts(2, Link(40, 20, 0)):
            pass  # the same process' addresses
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not names & set(left.split())
