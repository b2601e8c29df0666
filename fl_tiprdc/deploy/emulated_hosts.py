"""Hosts of clients on this machine: network namespaces, each behind a link with delay, a rate and losses.

What runs in a client's namespace reaches the server's address and nothing else. It takes root and Linux: `ip netns`
and TUN devices.
"""

import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

from fl_tiprdc.deploy.link_relay import MTU, Link
from fl_tiprdc.errors import InputError

NETWORK = IPv4Address("198.18.0.0")  # for tests of networks, RFC 2544; a deployment has 256 addresses of it
MOST_HOSTS = 253
TUN = Path("/dev/net/tun")
# linux/if_tun.h: TUNSETIFF; IFF_TUN | IFF_NO_PI
SET_INTERFACE, PACKETS_ALONE = 0x400454CA, 0x1001


def read_link(text: str) -> Link:
    """Return the link that a text names, such as 40ms,20mbit,1%.

    Raises:
        InputError: it names none.
    """
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch(rf"\s*{number}\s*ms\s*,\s*{number}\s*mbit\s*,\s*{number}\s*%\s*", text, re.IGNORECASE)
    link = Link(*map(float, found.groups())) if found else None
    if link is None or not link.rate or link.loss >= 100:
        raise InputError(f"--link '{text}': give delay, rate and loss of each client's link, like 40ms,20mbit,1%")
    return link


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"--link needs a network namespace: ip {' '.join(words)}: {done.stderr.strip()}")


class EmulatedHosts:
    """Namespaces of some clients, and the links between them and this one; leaving the context removes them.

    Args:
        clients: number of clients.
        link: what each client's link is like.

    Raises:
        InputError: this machine or this user can't have namespaces, or there are too many clients; some of it shows
            upon entering only.
    """

    def __init__(self, clients: int, link: Link) -> None:
        if clients > MOST_HOSTS:
            raise InputError(f"--link is for at most {MOST_HOSTS} clients, not {clients}")
        if sys.platform != "linux" or os.geteuid() != 0 or not os.access(TUN, os.W_OK) or not shutil.which("ip"):
            raise InputError(f"--link makes network namespaces, which takes root, Linux, {TUN} and iproute2's ip")
        self._clients, self._link = clients, link
        # two deployments at a time have different addresses, most likely; if not, the second one fails
        self._number = os.getpid() % 256
        self._network = NETWORK + 256 * self._number
        self._names: list[str] = []
        self._ends: list[int] = []
        self._relay: subprocess.Popen[bytes] | None = None

    @property
    def server(self) -> str:
        """Return the server's address, which is in this process' own namespace."""
        return str(self._network + 1)

    def inside(self, client: int) -> list[str]:
        """Return the words of a command that go before those of one that is to run on a client's host."""
        return ["ip", "netns", "exec", self._names[client]]

    def __enter__(self) -> "EmulatedHosts":
        try:
            self._set_up()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _device(self, name: str) -> int:
        device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        self._ends.append(device)
        try:
            fcntl.ioctl(device, SET_INTERFACE, struct.pack("16sH22x", name.encode(), PACKETS_ALONE))
        except OSError as error:
            raise InputError(f"--link needs network devices, and {name} can't be made: {error.strerror}") from None
        return device

    def _set_up(self) -> None:
        hosts: list[str] = []
        server = self._device(f"fl{self._number}")
        _ip("address", "add", f"{self.server}/24", "dev", f"fl{self._number}")
        _ip("link", "set", f"fl{self._number}", "mtu", str(MTU), "up")
        for client in range(self._clients):
            name, address = f"fl{self._number}-{client}", str(self._network + 2 + client)
            device = self._device(name)
            # of a deployment that was killed: a living one would have the server's device
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
            _ip("netns", "add", name)
            self._names.append(name)
            _ip("link", "set", name, "netns", name)
            for words in (
                ["address", "add", f"{address}/24", "dev", name],
                ["link", "set", name, "mtu", str(MTU), "up"],
                ["link", "set", "lo", "up"],
            ):
                _ip("-netns", name, *words)
            hosts.append(f"{address}={device}")
        ours, its = os.pipe()
        self._ends.append(its)
        command = [sys.executable, "-m", "fl_tiprdc.deploy.link_relay", str(ours)]
        self._relay = subprocess.Popen(
            [*command, *(f"{value:g}" for value in self._link), f"{self.server}={server}", *hosts],
            pass_fds=[ours, *self._ends[:-1]],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is its parent's
        )
        os.close(ours)

    def _remove(self) -> None:
        for end in reversed(self._ends):  # the pipe first
            os.close(end)
        if self._relay:
            self._relay.wait()
        for name in self._names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        self._ends, self._names, self._relay = [], [], None
