"""Cohorts of clients: a round's messages become jobs, and what workers return becomes replies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flwr.app import Error, Message, MessageType, RecordDict

from fl_tiprdc.federated.local_messages import RAISED, stamp
from fl_tiprdc.secagg.messages import MaskedCohort, MaskedUpdate, SecureWork
from fl_tiprdc.wire.messages import CONFIG, CohortUpdate, Instruction, LocalArrays, Update, unpack_groups

LARGEST_COHORT = 64  # clients in one stacked program: beyond it, memory grows and speed doesn't
LARGEST_BUNDLE = 64  # messages for the ClientApp that go to a worker together


@dataclass
class CohortJob:
    """Holds messages for one worker.

    Attributes:
        messages: messages of a cohort to train, or a bundle for the ClientApp.
        work: instruction, arrays and masking of a cohort; None: the messages are a bundle.
        tries: number of workers that were given the job.
    """

    messages: list[Message]
    work: tuple[Instruction, Any, SecureWork | None] | None = None
    tries: int = 0


def deal_messages(
    messages: list[Message], records: Callable[[Message], int], workers: int, share: Callable[[Any], Any]
) -> list[CohortJob]:
    """Deal train messages that share their content in cohorts of near-equal numbers of records, others in bundles.

    Args:
        messages: messages of one exchange.
        records: returns the number of records of the client that a message is for.
        workers: number of workers that work at a time.
        share: makes arrays ready for all workers.
    """
    alike: list[list[Message]] = []  # lists of messages that share their content
    singles: list[Message] = []
    for message in messages:
        if message.metadata.message_type != MessageType.TRAIN or CONFIG not in message.content:
            singles.append(message)
        elif sharing := next((earlier for earlier in alike if _shared(earlier[0].content, message.content)), None):
            sharing.append(message)
        else:
            alike.append([message])
    jobs: list[CohortJob] = []
    for sharing in alike:
        content = sharing[0].content
        configs = content.config_records
        work = (Instruction.unpack(configs[CONFIG]), share(unpack_groups(content)), SecureWork.found_in(configs))
        # largest first, dealt there and back: cohorts of like size, each of clients of like size
        sharing.sort(key=lambda message: -records(message))
        count = min(workers * -(-len(sharing) // (LARGEST_COHORT * workers)), len(sharing))
        cohorts: list[list[Message]] = [[] for _ in range(count)]
        for i, message in enumerate(sharing):
            lap, place = divmod(i, count)
            cohorts[place if lap % 2 == 0 else count - 1 - place].append(message)
        jobs += [CohortJob(cohort, work) for cohort in cohorts]
    size = max(1, min(LARGEST_BUNDLE, -(-len(singles) // workers)))
    return jobs + [CohortJob(singles[i : i + size]) for i in range(0, len(singles), size)]


def _shared(content: RecordDict, other: RecordDict) -> bool:
    """Tell whether two messages carry the very same records: a strategy packs those of an exchange once."""
    return content.keys() == other.keys() and all(content[name] is other[name] for name in content)


def replies_to(job: CohortJob, results: Any) -> list[Message]:
    """Return what a worker returned for a job as replies to its messages."""
    if job.work is None:
        return list(results)
    updates: list[Update | MaskedUpdate | str] = []
    if isinstance(results, (CohortUpdate, MaskedCohort)):
        updates += (results[i] for i in range(len(results)))
    else:
        updates += (result if isinstance(result, str) else result[0] for result in results)
    replies: list[Message] = []
    for message, update in zip(job.messages, updates, strict=True):
        content = Error(RAISED, update) if isinstance(update, str) else update.pack(LocalArrays)
        replies.append(stamp(Message(content, reply_to=message)))
    return replies


def as_it_is(arrays: Any) -> Any:
    """Return arrays unchanged: a worker in this process needs nothing else."""
    return arrays
