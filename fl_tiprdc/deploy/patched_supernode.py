"""Two patches of Flower's SuperNode, for the versions below only (docs/decisions/deployment.md).

It looks for messages and for replies more often than its fixed 3 s and 0.5 s, which alone make an exchange 3 s long or
longer: flwr has no setting for them. And a message whose run ends before all of it has come is thrown away. Flower
keeps it, waits for ever for the rest or later answers it with an error, and takes that for the reply to another
run's message: after a server was killed, its next run got no answer.
"""

import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import flwr
from flwr.supercore.run import RunNotRunningException
from flwr.supernode import start_client_internal

from fl_tiprdc.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")
KNOWN = "1.42."  # beginning of the versions whose module is as it is taken to be here
IDLE = 3.0  # seconds that Flower waits when there is no message
FIRST, GROWTH, LOOK = 0.2, 1.2, 0.05  # ours: first of an idle node, each next one longer; for a reply


class ShorterWaits:
    """Stands where the module has `time`.

    An idle node's waits begin short after each message and grow to Flower's own, so that one that nobody asks is as
    quiet as Flower's.

    Args:
        work: called while a message waits for its reply.
        wait: lets so many seconds go by.

    Attributes:
        begun: whether anybody has waited: the server has let the node in.
    """

    def __init__(self, work: Callable[[], None], wait: Callable[[float], None] = time.sleep) -> None:
        self._work, self._wait, self._idle, self.begun = work, wait, FIRST, False

    def sleep(self, seconds: float) -> None:
        """Wait for less than `seconds`."""
        self.begun = True
        if seconds >= IDLE:
            self._wait(self._idle)
            self._idle = min(self._idle * GROWTH, seconds)
        else:
            self._idle = FIRST
            self._work()
            self._wait(min(LOOK, seconds))


def _failing(ask: Callable[P, T]) -> Callable[P, T]:
    """Return a question to the SuperLink that fails as others do if the run has ended, so that Flower tidies up."""

    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return ask(*args, **kwargs)
        except RunNotRunningException:
            raise RuntimeError("its run has ended") from None

    return asked


def tidied(pull: Callable[..., int | None]) -> Callable[..., int | None]:
    """Return Flower's function that pulls a message, made to throw one away whose run ends meanwhile."""

    def pulled(
        *,
        pull_object: Callable[[int, str], bytes],
        confirm_message_received: Callable[[int, str], None],
        **others: Any,
    ) -> int | None:
        confirm = _failing(confirm_message_received)
        return pull(pull_object=_failing(pull_object), confirm_message_received=confirm, **others)

    return pulled


def patch_supernode(work: Callable[[], None]) -> ShorterWaits:
    """Patch this process' SuperNode, and return its waits.

    Args:
        work: called while a message waits for its reply.

    Raises:
        InputError: another version of flwr than those that the patch is for.
    """
    if not flwr.__version__.startswith(KNOWN):
        raise InputError(
            f"flwr {flwr.__version__}: the inside of its SuperNode is known of {KNOWN}* only; start flower-supernode, "
            "which is slower (docs/deployment.md)"
        )
    start_client_internal.time = waits = ShorterWaits(work)
    start_client_internal._pull_and_store_message = tidied(start_client_internal._pull_and_store_message)
    return waits
