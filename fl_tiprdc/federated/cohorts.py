"""How a round's messages become cohorts, and what cohorts return becomes replies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flwr.app import Error, Message, MessageType, RecordDict

from fl_tiprdc.federated.local_grid import RAISED, LocalGrid, stamp
from fl_tiprdc.secagg.messages import MaskedCohort, MaskedUpdate, SecureWork
from fl_tiprdc.wire.messages import CONFIG, CohortUpdate, Instruction, LocalArrays, Update, unpack_groups

LARGEST_COHORT = 64  # clients in one stacked program: beyond it, memory grows and speed doesn't
LARGEST_BUNDLE = 64  # messages for the ClientApp that go to a worker together


@dataclass
class CohortJob:
    """Messages for one worker: a cohort to train (with instruction, arrays, masking), or a bundle to handle."""

    messages: list[Message]
    work: tuple[Instruction, Any, SecureWork | None] | None = None
    tries: int = 0


def deal_messages(
    messages: list[Message], grid: LocalGrid, workers: int, share: Callable[[Any], Any]
) -> list[CohortJob]:
    """Deal train messages that share their content in cohorts of near-equal numbers of records, others in bundles.

    Args:
        messages: of one exchange.
        grid: knows whose they are.
        workers: how many can work at a time.
        share: makes arrays ready for all workers.
    """
    alike: list[list[Message]] = []
    singles: list[Message] = []
    for message in messages:
        if message.metadata.message_type != MessageType.TRAIN or CONFIG not in message.content:
            singles.append(message)
        elif same := next((some for some in alike if _shared(some[0].content, message.content)), None):
            same.append(message)
        else:
            alike.append([message])
    jobs: list[CohortJob] = []
    for same in alike:
        content = same[0].content
        configs = content.config_records
        work = (Instruction.unpack(configs[CONFIG]), share(unpack_groups(content)), SecureWork.found_in(configs))
        # longest first, dealt like cards there and back: cohorts of like size with clients of like size
        same.sort(key=lambda m: -int(grid.store.sizes[grid.partitions()[m.metadata.dst_node_id]]))
        count = min(workers * -(-len(same) // (LARGEST_COHORT * workers)), len(same))
        cohorts: list[list[Message]] = [[] for _ in range(count)]
        for i, message in enumerate(same):
            lap, place = divmod(i, count)
            cohorts[place if lap % 2 == 0 else count - 1 - place].append(message)
        jobs += [CohortJob(cohort, work) for cohort in cohorts]
    size = max(1, min(LARGEST_BUNDLE, -(-len(singles) // workers)))
    return jobs + [CohortJob(singles[i : i + size]) for i in range(0, len(singles), size)]


def _shared(content: RecordDict, other: RecordDict) -> bool:
    """Say whether two messages carry the very same records: a strategy packs those of an exchange once."""
    return content.keys() == other.keys() and all(content[name] is other[name] for name in content)


def replies_to(job: CohortJob, results: Any) -> list[Message]:
    """What a worker returned for a job, as replies to its messages."""
    if job.work is None:
        return list(results)
    updates: list[Update | MaskedUpdate | str] = []
    if isinstance(results, (CohortUpdate, MaskedCohort)):
        updates += (results[i] for i in range(len(results)))
    else:
        updates += (one if isinstance(one, str) else one[0] for one in results)
    replies: list[Message] = []
    for message, update in zip(job.messages, updates, strict=True):
        content = Error(RAISED, update) if isinstance(update, str) else update.pack(LocalArrays)
        replies.append(stamp(Message(content, reply_to=message)))
    return replies


def as_it_is(arrays: Any) -> Any:
    """What makes arrays ready for a worker in this process."""
    return arrays
