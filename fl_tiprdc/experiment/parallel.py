"""Independent work in parallel: on this machine's cores, or as tasks on a Ray cluster."""

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor

from fl_tiprdc.evaluation.attacks.registry import FURTHER
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS
from fl_tiprdc.evaluation.shaped_classifiers import SHAPED
from fl_tiprdc.evaluation.white_box import WHITE_BOX
from fl_tiprdc.federated.launch import ray_session
from fl_tiprdc.hybrid.registered import TRAINING, Registries, entries_of, register

T = TypeVar("T")
# what trainings and audits look up by name
REGISTRIES: Registries = (*TRAINING, CLASSIFIERS, SHAPED, WHITE_BOX, FURTHER)


def as_done(work: Mapping[str, Callable[[], T]], address: str = "") -> Iterator[tuple[str, T]]:
    """Do all work, each piece on one core; name and result of each as it is done.

    What was registered here is registered there too.

    Args:
        work: can be sent to another process; large arrays are best bound by `functools.partial`.
        address: of a Ray cluster; empty: this machine.

    Raises:
        Exception: what a piece raises.
    """
    if not work:
        return
    registered = entries_of(REGISTRIES)
    if not address:
        parallel = joblib.Parallel(
            n_jobs=joblib.cpu_count(), return_as="generator_unordered", inner_max_num_threads=1, backend="loky"
        )
        yield from parallel(joblib.delayed(_named)(name, piece, registered) for name, piece in work.items())
        return
    import ray

    with ray_session(0, address):
        remote = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(_named)
        waiting = [remote.remote(name, piece, registered) for name, piece in work.items()]
        try:
            while waiting:
                done, waiting = ray.wait(waiting)
                yield from ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        finally:
            for task in waiting:
                ray.cancel(task, force=True)


def end_workers() -> None:
    """End this machine's processes that wait for more work, and with them what they hold of earlier work."""
    get_reusable_executor().shutdown(wait=True)


def give_memory_back() -> None:
    """Hand freed memory back to the system: the C library keeps what threads have used for those to come."""
    with contextlib.suppress(OSError, AttributeError):  # not everywhere
        ctypes.CDLL(None).malloc_trim(0)


def _named(name: str, piece: Callable[[], T], registered: bytes) -> tuple[str, T]:
    register(registered, REGISTRIES)
    return name, piece()
