"""Local work of one or many clients of this process: the bridge from messages to training."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

from fl_tiprdc.data.crowd import Description
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_store import Store
from fl_tiprdc.hybrid.batches import CohortMember
from fl_tiprdc.hybrid.coding import coded, fitting
from fl_tiprdc.hybrid.cohort import LocalTraining, cohort_gradients, train_cohort
from fl_tiprdc.hybrid.privacy import balance
from fl_tiprdc.hybrid.registered import Registered
from fl_tiprdc.hybrid.schedule import schedule_for
from fl_tiprdc.hybrid.step import GROUPS, Groups, HybridStep
from fl_tiprdc.release.arrays import Arrays, GroupArrays, digest_of
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.release.components import COMPONENT_STATISTICS
from fl_tiprdc.release.draws import Draws, KeyedNoise, draws_from
from fl_tiprdc.release.known_levels import known_columns
from fl_tiprdc.release.release import CodedRelease, Released
from fl_tiprdc.release.statistics import COUNTED_LAST, Sums, answer, couplings_in
from fl_tiprdc.wire.messages import CohortUpdate, Instruction
from fl_tiprdc.wire.phases import GRADIENTS, QUESTION, WEIGHTS


def _step(description: Description, network: str, method: str) -> HybridStep:
    return _kept_step(description, network, method, Registered())


@lru_cache(maxsize=8)
def _kept_step(description: Description, network: str, method: str, registered: Registered) -> HybridStep:
    """Return the step of settings as JSON, made anew when something else is `registered`."""
    from fl_tiprdc.config import NetworkConfig
    from fl_tiprdc.methods import MethodConfig

    return HybridStep(description, NetworkConfig.model_validate_json(network), MethodConfig.model_validate_json(method))


def to_tensors(groups: GroupArrays) -> Groups:
    """Return numpy arrays as tensors, copied, as arrays from a message may be read-only."""
    return {name: {key: torch.tensor(value) for key, value in arrays.items()} for name, arrays in groups.items()}


def perform(
    store: Store,
    instruction: Instruction,
    groups: GroupArrays,
    partitions: Sequence[int],
    device: torch.device | str = "cpu",
) -> CohortUpdate:
    """Carry out one instruction for clients that received the same message.

    Args:
        store: store of the clients' records.
        instruction: instruction in the message.
        groups: parameters in the message, of all groups that the work needs.
        partitions: partition ids of the clients.
        device: device that computes.

    Returns:
        The clients' updates in the order of `partitions`. A client without a record returns what it received, or a
        gradient of zero, with a weight of zero.

    Raises:
        InputError: a client's data can't be read.
    """
    if instruction.phase.startswith(QUESTION):
        with threadpool_limits(1, "blas"):  # many small products: threads would only wait for each other
            return count(store, instruction, groups, partitions, instruction.exchange)
    step = _step(store.description, instruction.network, instruction.method)
    tables = [fitting(store.records(partition), _certifying(store, partition, step)) for partition in partitions]
    busy = [i for i, table in enumerate(tables) if len(table)]
    members = [
        CohortMember(
            tables[i],
            instruction.lam,
            instruction.sigma,
            instruction.seed,
            (partitions[i], instruction.exchange),
        )
        for i in busy
    ]
    start = to_tensors(groups)
    gradient = instruction.phase in GRADIENTS
    names = GRADIENTS[instruction.phase] if gradient else WEIGHTS[instruction.phase]
    names = step.method.groups if names == GROUPS else names
    idle = {name: _for_idle(groups[name], len(tables), gradient) for name in names} if len(busy) < len(tables) else {}
    records = tuple(store.size(partition) for partition in partitions)  # sizes without certifying ones would tell
    losses = np.zeros((len(tables), 3), dtype=np.float32)
    if not members:
        return CohortUpdate(idle, records, losses, instruction.exchange)
    if gradient:
        result = cohort_gradients(step, start, members, names, instruction.records, device)
    else:
        training = LocalTraining(
            schedule_for(step.method) if "critic" in names else [names],
            instruction.batch_size,
            instruction.learning_rate,
            instruction.weight_decay,
            instruction.epochs,
        )
        result = train_cohort(step, start, members, training, device)
        # A client's adversary counts by the weight of its records, balanced over private values. The update is weighed
        # here, so that no weight that is sent tells which values a client holds.
        weights = torch.tensor([balance(m.records.private, store.description) for m in members])
        for key, value in result.groups.get("adversary", {}).items():
            origin = start["adversary"][key].to(value.device)
            scale = weights.to(value).reshape(-1, *[1] * origin.dim())
            value.sub_(origin).mul_(scale).add_(origin)
    stacked = {name: {k: v.cpu().numpy() for k, v in arrays.items()} for name, arrays in result.groups.items()}
    losses[busy] = result.losses.cpu().numpy()
    for name, arrays in idle.items():
        for key, array in arrays.items():
            array[busy] = stacked[name][key]
    return CohortUpdate(idle or stacked, records, losses, instruction.exchange)


def _check_known(step: HybridStep, question: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Check that a question is about the levels of those columns alone that the method names.

    Raises:
        InputError: it is about others.
    """
    coding = step.method.coding
    named = known_columns(coding.known if coding else (), step.description.columns)
    for name, asked in question.items():
        if name.rpartition("/")[2] == "known" and not np.array_equal(asked, named):
            raise InputError("a question is about levels of columns that the method doesn't name")


def with_kept(store: Store, instruction: Instruction, groups: GroupArrays) -> GroupArrays:
    """Return the groups of a message, and those that the client keeps and the instruction names.

    Raises:
        InputError: one isn't kept here.
    """
    named = {"extractor": instruction.extractor, "codebook": instruction.codebook, "codes": instruction.codes}
    kept = {name: store.kept.read(digest) for name, digest in named.items() if digest and name not in groups}
    return {**groups, **kept}


def publication_of(store: Store, partition: int, instruction: Instruction, groups: GroupArrays) -> Released:
    """Return what one client publishes of its records, made with the group "extractor" and, for codes, "codes".

    Its draws derive from the client's secret and the release, not from the query: whoever asks twice for the same
    release gets the same numbers, and can't average the noise away.
    """
    records, tensors = store.records(partition), to_tensors(groups)
    step = _step(store.description, instruction.network, instruction.method)
    release = step.release(tensors, instruction.lam, instruction.sigma)  # the client has checked this sigma
    digest = digest_of(groups["extractor"]) + (release.codes.digest if isinstance(release, CodedRelease) else "")
    return release.apply(records.x, records.private, _draws(store, partition, digest, instruction))


def _draws(store: Store, partition: int, release: str, instruction: Instruction) -> Draws:
    # the network's precision changes a release's numbers: with the same noise their difference would tell of x alone
    words = [str(store.secret(partition)), "publication", release, str(instruction.sigma), instruction.network]
    key = "\x1f".join(words)
    return draws_from(KeyedNoise(key.encode()))


def count(
    store: Store, instruction: Instruction, groups: GroupArrays, partitions: Sequence[int], exchange: int
) -> CohortUpdate:
    """Answer a question of a code fit for clients that received the same message.

    Returns:
        Sums over each client's records, as the group "sums", in the order of `partitions`.
    """
    step = _step(store.description, instruction.network, instruction.method)
    for name in {"extractor", "codebook"} & groups.keys():
        store.kept.keep(groups[name])
    groups = with_kept(store, instruction, groups)
    asked = {**groups.get("codebook", {}), **groups["question"]}
    _check_known(step, asked)
    question, tables = instruction.phase.removeprefix(QUESTION), [store.records(partition) for partition in partitions]
    losses = np.zeros((len(tables), 3), dtype=np.float32)

    def update(answers: Sequence[Sums]) -> CohortUpdate:
        stacked = {name: np.stack([sums[name] for sums in answers]).astype(np.float32) for name in answers[0]}
        return CohortUpdate({"sums": stacked}, tuple(map(len, tables)), losses, exchange)

    if question in COMPONENT_STATISTICS:
        fitted = [fitting(table, _certifying(store, p, step)) for p, table in zip(partitions, tables, strict=True)]
        ask = COMPONENT_STATISTICS[question]
        return update([ask(step.inputs(records.x), asked) for records in fitted])
    digest, tensors = digest_of(groups["extractor"]), to_tensors({"extractor": groups["extractor"]})
    if question == COUNTED_LAST:
        for codes in couplings_in(asked):
            store.kept.keep(codes.arrays())
    made_by, answers = (digest, instruction.network, instruction.method), []
    for partition, records in zip(partitions, tables, strict=True):

        def draws(codes: Codes, partition: int = partition) -> Draws:
            return _draws(store, partition, digest + codes.digest, instruction)

        z = store.points.of(partition, made_by, partial(step.code_space, tensors["extractor"], records.x))
        certifying = _certifying(store, partition, step)
        answers.append(answer(question, coded(z, step.description.classes, records, certifying, draws), asked))
    return update(answers)


def _certifying(store: Store, partition: int, step: HybridStep) -> npt.NDArray[np.bool_]:
    coding = step.method.coding
    return store.certifying(partition, coding.certifying if coding else 0.0)


def _for_idle(arrays: Arrays, clients: int, gradient: bool) -> Arrays:
    """Return the answers of clients without a record, stacked: what they received, or a gradient of zero."""
    return {
        key: np.zeros((clients, *value.shape), np.float32) if gradient else np.stack([value] * clients)
        for key, value in arrays.items()
    }
