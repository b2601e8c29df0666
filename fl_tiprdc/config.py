"""The experiment description: typed, frozen, strict; read from TOML and command-line flags."""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from fl_tiprdc.errors import InputError, require_known
from fl_tiprdc.frozen import Frozen, Positive, Share, Widths
from fl_tiprdc.methods import METHODS, CodesConfig, MethodConfig
from fl_tiprdc.wrong_setting import LICENSE, RAY_ADDRESS, one_line, wrong_setting

FEWEST_IN_SUM = 3  # with fewer, who knows their own update knows the other's


class DataConfig(Frozen):
    """Say where a data set's files are, and how they are read. Settings of other data sets have no effect."""

    root: Path | None = Field(None, description="folder with a data set's official files")
    file: Path | None = Field(None, description="table: CSV or Parquet file")
    tasks: tuple[str, ...] = Field((), description="attributes that unknown tasks predict; none: the data set's own")
    participant: str = Field("", description="table: column that says whose record it is; empty: each row is a person")
    columns: dict[str, Literal["number", "category", "ignore"]] = Field(
        {}, description="table: kinds of columns, where a column's values would mislead"
    )
    missing: tuple[str, ...] = Field((), description="table: words that mean missing, such as ? or unknown")
    unite_spellings: bool = Field(
        False, description="table: whether classes that differ in case, spaces or a final dot only are one"
    )
    size: tuple[Positive, Positive] | None = Field(
        None, description="images: height and width; empty: the data set's own"
    )
    records: int = Field(0, ge=0, description="read at most that many records; 0: all, or the data set's own number")
    cache_megabytes: Positive = Field(512, description="images: decoded ones to keep in memory")
    correlation: float = Field(
        0.0, ge=-1, le=1, description="avatars: correlation of the private attribute with the first task"
    )


class NetworkConfig(Frozen):
    """Choose the networks and the widths of their layers."""

    architecture: str = Field(
        "auto",
        description="perceptron, convolutional, linear, or the paper's vgg16 and lstm; auto: what fits the data",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="what networks compute in; bfloat16 pays on a GPU, and weights stay float32"
    )
    representation: Positive = Field(32, description="numbers in a representation, d")
    extractor_hidden: Widths = Field((256,), description="hidden layers of the extractor")
    adversary_hidden: Widths = Field((256, 128), description="hidden layers of the adversary")
    adversaries: Literal["joint", "separate"] = Field(
        "separate", description="a network for each private attribute, or one with an answer for each"
    )
    critic_hidden: Widths = Field((256,), description="hidden layers of each critic tower, or of the decoder")
    critic_embedding: Positive = Field(64, description="width in which the critic's two towers meet")
    channels: Positive = Field(8, description="convolutional: channels of the first map, doubled when it is halved")


class CentralizedConfig(Frozen):
    """Training with all contributors' records in one place."""

    steps: Positive = Field(400, description="extractor updates")
    batch_size: Positive = Field(1024, description="records in a batch; at most an eighth of all")
    learning_rate: float = Field(2e-3, gt=0, description="Adam's step size, all three networks")
    weight_decay: float = Field(0.0, ge=0, description="Adam's L2 penalty")


class FederationConfig(Frozen):
    """Training by clients that keep their records.

    A method exchanges gradients or weights (`MethodConfig.exchange`); settings of the other kind have no effect on it.
    """

    rounds: Positive = Field(20, description="rounds of training")
    updates_per_round: Positive = Field(20, description="gradients: extractor updates in a round")
    gradient_clients: int = Field(
        20, ge=0, description="gradients: clients drawn for one, in proportion to their records; 0 asks all"
    )
    gradient_records: int = Field(64, ge=0, description="gradients: records a client draws for one; 0 takes all")
    server_learning_rate: float = Field(2e-3, gt=0, description="gradients: the server's Adam step size")
    clients_per_round: int = Field(0, ge=0, description="largest number of clients asked at a time; 0: no limit")
    codebook_clients: int = Field(
        0,
        ge=0,
        description="codes: clients of whose records components and a codebook are made; 0: as many as its coupling",
    )
    coupling_clients: int = Field(
        0, ge=0, description="codes: clients to whom a codebook's coupling is fitted, and who certify it; 0: all"
    )
    local_epochs: Positive = Field(1, description="weights: passes of a client over its records in a round")
    batch_size: Positive = Field(128, description="weights: largest number of records in a client's batch")
    learning_rate: float = Field(3e-3, gt=0, description="weights: the clients' Adam step size")
    weight_decay: float = Field(0.0, ge=0, description="weights: the clients' Adam L2 penalty")
    server_momentum: float = Field(
        0.0, ge=0, lt=1, description="weights: share of the server's last step that its next one takes again"
    )
    allowed_failures: Share = Field(0.0, description="share of the clients asked that may fail in an exchange")
    quorum: float = Field(
        1.0, gt=0, le=1, description="share of the clients asked whose replies close an exchange; 1 waits for all"
    )
    timeout: float = Field(600.0, gt=0, description="seconds the server waits for an exchange at most")
    aggregation: str = Field(
        "mean", description="how the server unites what clients send; all but mean withstand some hostile clients"
    )
    byzantine: float = Field(
        0.2, ge=0, lt=0.5, description="trimmed-mean, multi-krum: share of the clients that is taken to be hostile"
    )


class ProtectionConfig(Frozen):
    """Keep a client's updates from the server that trains; see docs/threat-model.md."""

    noise: float = Field(
        0.0,
        ge=0,
        description="differential privacy of each client's whole part in the training: standard deviation of the noise "
        "on a sum of updates, in units of the clipping norm; 0: none",
    )
    clip: float = Field(
        1.0, gt=0, description="with noise: the largest norm of what a client adds to a sum, all groups together"
    )
    delta: float = Field(1e-5, gt=0, lt=1, description="with noise: the delta for which epsilon is computed")
    secagg: bool = Field(
        False, description="secure aggregation: the server can open the sum of an exchange's updates, and no single one"
    )
    threshold: float = Field(
        2 / 3,
        gt=0.5,
        le=1,
        description="secagg: share of an exchange's clients who must stay to its end, else its sum can't be opened",
    )

    def needed(self, clients: int) -> int:
        """Return how many of an exchange's clients must stay for its sum to be opened."""
        return math.ceil(round(self.threshold * clients, 9))

    def require_apart(self, clients: int, sample: int) -> None:
        """Check that the difference of sums over clients and over a sample of them is no sum of a few.

        Raises:
            InputError: with secure aggregation, that difference would be of fewer clients than any sum may have.
        """
        if self.secagg and 0 < clients - sample < FEWEST_IN_SUM:
            raise InputError(
                f"secagg: sums over {clients} clients and {sample} of them differ by those of {clients - sample}, who "
                f"wouldn't be hidden: let codebook_clients be {FEWEST_IN_SUM} fewer, or as many"
            )


class AuditConfig(Frozen):
    """Attackers and probes."""

    attackers: tuple[str, ...] = Field(
        (
            *("logistic", "boosting", "forest", "mlp", "nearest"),
            *("convolutional", "recurrent", "white-box-mlp", "white-box-kernel"),
        ),
        description="the panel; convolutional and recurrent attack releases that have a shape, those in the white box "
        "releases with known noise",
        min_length=1,
    )
    beside_exact: tuple[str, ...] = Field(
        ("logistic", "boosting"),
        description="those of the panel that also attack codes, where the exact attacker is the figure; if the panel "
        "has none of them: all of it",
    )
    validation: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of the contributors who choose the best attacker and probe; 0: held-out people",
    )
    probes: tuple[str, ...] = Field(
        ("logistic", "boosting", "forest", "mlp", "convolutional", "recurrent"),
        description="kinds of task probe",
        min_length=1,
    )
    attack_records: int = Field(0, ge=0, description="contributors' records that attackers learn from; 0: all")
    probe_records: int = Field(15000, ge=0, description="contributors' records that probes learn from; 0: all")
    bootstrap: Positive = Field(200, description="resamples of the held-out people for an interval")
    further: tuple[str, ...] = Field(
        ("membership", "reidentification", "linkage"),
        description="further attacks: membership, reidentification, averaging, leaks, linkage, known-record; or all, "
        "or none",
    )
    known: tuple[str, ...] = Field(
        (),
        description="known-record: columns that attackers are taken to know, each alone and all together; empty: the "
        "most telling ones",
    )
    reconstruct: Literal["auto", "always", "never"] = Field(
        "auto", description="train decoders from releases back to raw records; auto: of images"
    )
    reconstruction_records: int = Field(5000, ge=10, description="contributors' records that decoders learn from")
    reconstruction_steps: Positive = Field(300, description="updates of a decoder")


class Experiment(Frozen):
    """Describe one run: what is trained, on what, by whom, and how it is audited."""

    dataset: str = Field("adult", description="data set")
    data: DataConfig = DataConfig()
    private: tuple[str, ...] = Field((), description="attributes to hide; none: the data set's own")
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the people who contribute nothing")
    clients: Positive = Field(100, description="number of clients")
    partition: str = Field("iid", description="who holds what: iid, dirichlet:ALPHA, by-private or natural")
    settings: tuple[Literal["baseline", "centralized", "federated"], ...] = Field(
        ("baseline", "centralized", "federated"),
        description="what is set beside raw data: baseline, centralized, federated",
    )
    methods: tuple[str, ...] = Field(("tiprdc", "tiprdc+", "coded"), min_length=1, description="training methods")
    lambdas: tuple[Share, ...] = Field(
        (0.1, 0.5, 0.9, 0.98), min_length=1, description="weights of privacy against information"
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1, description="experiment seeds")
    baselines: tuple[str, ...] = Field(("gaussian-noise",), description="releases to compare with")
    dials: dict[str, tuple[Annotated[float, Field(ge=0)], ...]] = Field(
        {}, description="values of a baseline's own dial, in place of its usual ones"
    )
    runtime: str = Field("ray-cohort", description="how clients are run: ray-cohort, flower or inline")
    actors: int = Field(0, ge=0, description="Ray actors; 0: one for each core")
    ray_address: str = Field(
        "",
        pattern=RAY_ADDRESS,
        description="Ray cluster to join: auto, HOST:PORT or ray://HOST:PORT; empty starts Ray on this machine",
    )
    track: tuple[str, ...] = Field(
        ("tensorboard",), description="where a run can be followed: tensorboard, mlflow, wandb; or none"
    )
    license: str = Field(
        "unknown",
        pattern=LICENSE,
        description="license that a publication's card names, as Hugging Face writes it: cc-by-4.0, cc0-1.0, ...",
    )
    network: NetworkConfig = NetworkConfig()
    method: dict[str, MethodConfig] = Field({}, description="changes to methods, or new methods")
    centralized: CentralizedConfig = CentralizedConfig()
    federation: FederationConfig = FederationConfig()
    protection: ProtectionConfig = ProtectionConfig()
    audit: AuditConfig = AuditConfig()

    @model_validator(mode="after")
    def _names_and_repeats(self) -> "Experiment":
        for name in self.method:
            if not re.fullmatch(r"\w[\w.+-]*", name):  # it names folders
                raise ValueError(f"method name '{name}': use letters, digits and . _ + - only")
        for name in self.methods:
            if name not in {*METHODS, *self.method}:
                allowed = ", ".join(sorted({*METHODS, *self.method}))
                raise ValueError(f"unknown method '{name}': choose from {allowed}")
        for field in ("private", "settings", "methods", "lambdas", "seeds", "baselines"):
            values = getattr(self, field)
            # as folder names and tables write them
            if len({f"{value:g}" if isinstance(value, float) else value for value in values}) != len(values):
                raise ValueError(f"{field} has a value twice: {', '.join(map(str, values))}")
        federation = self.federation
        for field in ("clients_per_round", "codebook_clients", "coupling_clients"):
            if (asked := getattr(federation, field)) > self.clients:
                raise ValueError(f"{field} is {asked} but there are {self.clients} clients")
        if 0 < federation.coupling_clients < federation.codebook_clients:
            raise ValueError(
                f"codebook_clients is {federation.codebook_clients}, more than coupling_clients, "
                f"{federation.coupling_clients}: a codebook is of some of the clients to whom its coupling is fitted"
            )
        return self

    @model_validator(mode="after")
    def _protection_fits(self) -> "Experiment":
        rule = self.federation.aggregation
        if rule != "mean" and self.protection.secagg:
            raise ValueError(
                f"aggregation {rule} compares single clients' updates, which secagg hides: choose mean, or leave it out"
            )
        if rule != "mean" and self.protection.noise:
            raise ValueError(
                f"aggregation {rule} has no bound on what one client changes, which noise needs: choose mean"
            )
        if self.protection.secagg and self.federation.quorum < self.protection.threshold:
            raise ValueError(
                f"secagg needs {self.protection.threshold:.0%} of an exchange's clients to stay: a quorum of "
                f"{self.federation.quorum:g} closes it before"
            )
        federation = self.federation
        asked = (federation.clients_per_round, federation.gradient_clients, federation.codebook_clients)
        numbers = (self.clients, *asked, federation.coupling_clients)
        if self.protection.secagg and min(filter(None, numbers)) < FEWEST_IN_SUM:
            raise ValueError(f"secagg needs at least {FEWEST_IN_SUM} clients in an exchange: fewer hide no one")
        everybody = federation.coupling_clients or self.clients
        self.protection.require_apart(everybody, federation.codebook_clients or everybody)
        return self

    def require_no_noise_on_counts(self) -> None:
        """Check that no method that counts codes is to be trained with noise on its sums.

        Raises:
            InputError: one is.
        """
        if self.codings and self.protection.noise:
            coded = next(iter(self.codings))
            raise InputError(
                f"noise bounds what updates tell, and method {coded} also counts codes, which it would spoil: name "
                "methods without codes, such as tiprdc+"
            )

    @property
    def codings(self) -> Mapping[str, CodesConfig]:
        """Return the settings of codes of each method that has them."""
        return {name: coding for name in self.methods if (coding := self.method_config(name).coding) is not None}

    def certificates(self) -> int:
        """Return how many releases of this run are certified; they share its error probability."""
        trained = sum(setting != "baseline" for setting in self.settings)
        return len(self.codings) * trained * len(self.lambdas) * len(self.seeds)

    def method_config(self, name: str) -> MethodConfig:
        """Return the method `name` with this experiment's changes.

        Raises:
            InputError: there is no such method.
        """
        require_known("method", [name], {**METHODS, **self.method})
        return self.method.get(name) or METHODS[name].settings


QUICK: Mapping[str, Any] = {
    "methods": ("tiprdc", "coded"),
    "lambdas": (0.1, 0.5, 0.9),
    "dials": {"gaussian-noise": (1.0, 4.0)},
    "centralized": {"steps": 100},
    "federation": {"rounds": 4, "updates_per_round": 15},
    "audit": {
        "attackers": ("logistic", "boosting", "mlp"),
        "probes": ("logistic", "mlp"),  # a network for all tasks takes a seventh of the time of boosting for each
        "attack_records": 5000,
        "probe_records": 4000,
        "bootstrap": 50,
        "further": (),
        "reconstruction_steps": 100,
    },
}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested dictionaries united; `over` wins."""
    united = dict(base)
    for key, value in over.items():
        old = united.get(key)
        united[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return united


def _with_base(name: str, change: Any) -> Any:
    """Return a method's settings on top of those it starts from: its `base`, or the one of METHODS that it changes."""
    if not isinstance(change, Mapping):
        return change
    own = dict(change)
    base = own.pop("base", name if name in METHODS else None)
    if base is None:
        return own
    if not isinstance(base, str) or base not in METHODS:
        raise InputError(one_line(f"method.{name}.base is {base!r}: choose from {', '.join(METHODS)}"))
    return merge(METHODS[base].settings.model_dump(), own)


def build_experiment(values: Mapping[str, Any]) -> Experiment:
    """Validate a nested dictionary.

    A `method` entry named like one of METHODS, or with one of them as `base`, changes only the keys it gives.

    Raises:
        InputError: one line that names the first wrong key or value, and what is allowed.
    """
    values = dict(values)
    changes = values.get("method")
    if isinstance(changes, Mapping):
        values["method"] = {name: _with_base(name, change) for name, change in changes.items()}
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        raise InputError(wrong_setting(error, Experiment, MethodConfig)) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file as a nested dictionary.

    Raises:
        InputError: the file is missing, unreadable or no TOML.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise InputError(f"cannot read config '{path}': {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"config '{path}' is no valid TOML: {error}") from None


@dataclass(frozen=True)
class Point:
    """Name one point of a sweep."""

    method: str
    lam: float
    seed: int
