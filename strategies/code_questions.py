"""Questions of a code fit, asked of all clients: each is one exchange of the hybrid strategy, answered by sums."""

from collections.abc import Callable, Mapping
from typing import Any

from flwr.app import ConfigRecord
from flwr.serverapp import Grid

from fl_tiprdc.config import FederationConfig
from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.release.arrays import Arrays, GroupArrays
from fl_tiprdc.release.codes import digest_of
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

    A fit may ask a sample of the clients, the same ones all the time. The extractor is sent with the first question,
    and clients keep it for the others. It is sent again if a client didn't answer the last question, or if a question
    without it fails: a client may have come late, or lost its disk.

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
        self._everybody, self._some, most = roster, roster, federation.question_clients
        if 0 < most < len(roster.partitions):
            self._some = roster.of(roster.sample(most, numpy_generator(seed, "sample-question-clients")))
        self._seed, self._federation, self._done = seed, federation, done
        self._on_exchange, self._protection = on_exchange, protection
        self._digest = digest_of(extractor) if extractor else ""
        self._kept = dict.fromkeys((self._everybody, self._some), extractor is None)

    @property
    def sampled(self) -> bool:
        """Tell whether a sample of the clients is asked."""
        return self._some is not self._everybody

    def answer(self, request: Request) -> Arrays:
        """Return the sums over clients' records that a request asks for.

        Raises:
            TooManyFailuresError: more clients failed than allowed, or they counted more people than there are.
        """
        roster = self._everybody if request.everybody else self._some
        if self._kept[roster]:
            try:
                return self._ask(request, roster)
            except TooManyFailuresError:
                if self._extractor is None:
                    raise
                self._kept[roster] = False
        return self._ask(request, roster)

    def _ask(self, request: Request, roster: Roster) -> Arrays:
        federation, kept = self._federation, self._kept[roster]
        self._done += 1  # even if it fails: no two exchanges may share masks
        plan = ExchangePlan(
            question_exchange(request.name, self._done, federation.rounds + 1, kept),
            self._config | ({"extractor": self._digest} if kept else {}),
            self._seed,
            allowed_failures=federation.allowed_failures,
            quorum=federation.quorum,
        )
        groups: GroupArrays = {"extractor": self._extractor or {}, "question": request.arrays, "sums": request.zeros()}

        def note(exchange: Exchange) -> None:
            for asked in (roster, self._some):  # whoever asks everybody asks them, too
                self._kept[asked] = self._extractor is None or exchange.clients == len(roster.partitions)
            self._on_exchange(exchange)

        strategy = HybridStrategy(plan, groups, roster, note, protection=self._protection)
        settings, first = ConfigRecord({}), pack_arrays(self._extractor or {})
        strategy.start(self._grid, first, num_rounds=1, timeout=federation.timeout, train_config=settings)
        sums = strategy.groups["sums"]
        check_sums(sums, sum(roster.size(partition) for partition in roster.partitions))
        return sums


def check_sums(sums: Arrays, records: int) -> None:
    """Check that sums count no more people than there are records; single clients' counts are checked before, if seen.

    Raises:
        TooManyFailuresError: a count is negative, or there are more people than records.
    """
    for name in COUNTED:
        if name in sums and not within(sums[name], records):
            raise TooManyFailuresError(f"the clients' {name} are of more people than the {records} that there are")
