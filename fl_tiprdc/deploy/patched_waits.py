"""A patch of Flower's SuperNode: it looks for messages and for replies more often than its fixed 3 s and 0.5 s.

flwr has no setting for these waits, which alone make an exchange 3 s long or longer. The patch puts another `time`
into the one module that waits, nothing else; it is for the versions below only (docs/decisions/deployment.md).
"""

import time
from collections.abc import Callable

import flwr
from flwr.supernode import start_client_internal

from fl_tiprdc.errors import InputError

KNOWN = "1.42."  # beginning of the versions whose module has these waits and no others
IDLE = 3.0  # seconds that Flower waits when there is no message
FIRST, GROWTH, LOOK = 0.2, 1.2, 0.05  # ours: first of an idle node, each next one longer; for a reply


class ShorterWaits:
    """Stands where the module has `time`.

    An idle node's waits begin short after each message and grow to Flower's own, so that one that nobody asks is as
    quiet as Flower's.

    Args:
        work: called while a message waits for its reply.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work, self._idle = work, FIRST

    def sleep(self, seconds: float) -> None:
        """Wait for less than `seconds`."""
        if seconds >= IDLE:
            time.sleep(self._idle)
            self._idle = min(self._idle * GROWTH, seconds)
        else:
            self._idle = FIRST
            self._work()
            time.sleep(min(LOOK, seconds))


def shorten_waits(work: Callable[[], None]) -> None:
    """Patch this process' SuperNode.

    Args:
        work: called while a message waits for its reply.

    Raises:
        InputError: another version of flwr than those that the patch is for.
    """
    if not flwr.__version__.startswith(KNOWN):
        raise InputError(
            f"flwr {flwr.__version__}: the waits of its SuperNode are known of {KNOWN}* only; start flower-supernode, "
            "which is slower (docs/deployment.md)"
        )
    start_client_internal.time = ShorterWaits(work)
