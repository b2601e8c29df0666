"""Questions of a code fit: each is one exchange of the hybrid strategy, answered by sums."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flwr.app import ConfigRecord
from flwr.serverapp import Grid

from fl_tiprdc.config import FederationConfig
from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.release.arrays import Arrays, GroupArrays, digest_of
from fl_tiprdc.release.statistics import Request
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.wire.messages import pack_arrays
from strategies.exchange_plan import ExchangePlan, question_exchange
from strategies.hybrid_strategy import Exchange, HybridStrategy
from strategies.reply_check import COUNTED, within
from strategies.roster import Roster
from strategies.update_protection import UpdateProtection


class CodeQuestions:
    """Asks the crowd about its records, or about one extractor's output for them.

    A codebook may be made of a sample of the clients, the same ones all the time, and so may its coupling, of a larger
    one: then "everybody" is that sample. The extractor and the codewords are sent with the first question about them,
    and clients keep them for the others. They are sent again if a client didn't answer the last question, or if a
    question without them fails: a client may have come late, or lost its disk.

    Args:
        grid: reaches the clients.
        roster: tells which node is which client.
        extractor: parameters of the trained extractor; None: there is none yet.
        config: settings sent in every exchange.
        seed: seed of the experiment.
        federation: says how many clients are asked and may fail, and how long to wait.
        done: number of exchanges that took place before.
        on_exchange: called with each exchange when it is done.
        protection: keeps single clients' sums from the server; None: the server sees them.
    """

    def __init__(
        self,
        grid: Grid,
        roster: Roster,
        extractor: Arrays | None,
        config: Mapping[str, Any],
        seed: int,
        federation: FederationConfig,
        done: int,
        on_exchange: Callable[[Exchange], None],
        protection: UpdateProtection | None,
    ) -> None:
        self._grid, self._extractor, self._config = grid, extractor, dict(config)
        self._everybody = _sample(roster, federation.coupling_clients, seed, "sample-coupling-clients")
        self._some = _sample(self._everybody, federation.codebook_clients, seed, "sample-codebook-clients")
        self._seed, self._federation, self._done = seed, federation, done
        self._on_exchange, self._protection = on_exchange, protection
        # SHA-256 of the groups that all of these clients keep
        self._kept: dict[Roster, set[str]] = {self._everybody: set(), self._some: set()}

    @property
    def counted(self) -> Sequence[int]:
        """Return the clients of whom questions for everybody ask: all, or the sample of the coupling."""
        return self._everybody.partitions

    @property
    def sizes(self) -> tuple[int, int]:
        """Return how many clients questions for everybody ask, and the others."""
        return len(self._everybody.partitions), len(self._some.partitions)

    @property
    def sampled(self) -> bool:
        """Tell whether codebooks are made of a sample of the clients."""
        return self._some is not self._everybody

    def answer(self, request: Request) -> Arrays:
        """Return the sums over clients' records that a request asks for.

        Raises:
            TooManyFailuresError: more clients failed than allowed, or they counted more people than there are.
        """
        roster = self._everybody if request.everybody else self._some
        try:
            return self._ask(request, roster)
        except TooManyFailuresError:
            if not self._kept[roster]:
                raise
            self._kept[roster].clear()
            return self._ask(request, roster)

    def _ask(self, request: Request, roster: Roster) -> Arrays:
        federation, known = self._federation, self._kept[roster]
        codebook = {name: array for name, array in request.arrays.items() if name == request.codebook}
        question = {name: array for name, array in request.arrays.items() if name != request.codebook}
        lasting = {"extractor": self._extractor or {}, "codebook": codebook}
        digests = {name: digest_of(arrays) for name, arrays in lasting.items() if arrays}
        named = {name: digest for name, digest in digests.items() if digest in known}
        sends = (*(name for name in digests if name not in named), "question")
        self._done += 1  # even if it fails: no two exchanges may share masks
        plan = ExchangePlan(
            question_exchange(request.name, self._done, federation.rounds + 1, sends),
            self._config | named,
            self._seed,
            allowed_failures=federation.allowed_failures,
            quorum=federation.quorum,
        )

        def note(exchange: Exchange) -> None:
            for asked in (roster, self._some):  # whoever asks everybody asks them, too
                if exchange.clients == len(roster.partitions):
                    self._kept[asked] |= set(digests.values())
                else:
                    self._kept[asked].clear()
            self._on_exchange(exchange)

        groups: GroupArrays = {**lasting, "question": question, "sums": request.zeros()}
        strategy = HybridStrategy(plan, groups, roster, note, protection=self._protection)
        settings, first = ConfigRecord({}), pack_arrays(self._extractor or {})
        strategy.start(self._grid, first, num_rounds=1, timeout=federation.timeout, train_config=settings)
        sums = strategy.groups["sums"]
        check_sums(sums, sum(roster.size(partition) for partition in roster.partitions))
        return sums


def _sample(roster: Roster, most: int, seed: int, purpose: str) -> Roster:
    """Return the roster of at most so many clients, drawn from a roster; 0: of all."""
    if not 0 < most < len(roster.partitions):
        return roster
    return roster.of(roster.sample(most, numpy_generator(seed, purpose)))


def check_sums(sums: Arrays, records: int) -> None:
    """Check that sums count no more people than there are records; single clients' counts are checked before, if seen.

    Raises:
        TooManyFailuresError: a count is negative, or there are more people than records.
    """
    for name in COUNTED:
        if name in sums and not within(sums[name], records):
            raise TooManyFailuresError(f"the clients' {name} are of more people than the {records} that there are")
