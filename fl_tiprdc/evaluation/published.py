"""Audit of representations that anybody published: joined with a table of labels."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.config import AuditConfig, DataConfig
from fl_tiprdc.data.column_encoding import require_columns
from fl_tiprdc.data.crowd import Attribute, Column, Ints
from fl_tiprdc.data.own_table import classes_of, feature_columns, label_values
from fl_tiprdc.data.population import encode_private, hold_out
from fl_tiprdc.data.raw_features import raw_features
from fl_tiprdc.data.table import Table, encode
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attack_answers import AttackAnswer
from fl_tiprdc.evaluation.attacks.exact_attack import KIND as EXACT
from fl_tiprdc.evaluation.attacks.exact_attack import exact_attack
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth, audit
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, MAJORITY
from fl_tiprdc.evaluation.detection import FALSE_POSITIVE_RATES, PAIR_AUC
from fl_tiprdc.evaluation.frontier import best_models
from fl_tiprdc.evaluation.measurable import check_measurable
from fl_tiprdc.evaluation.publication_files import Publication
from fl_tiprdc.evaluation.published_codes import PublishedCodes, published_codes
from fl_tiprdc.evaluation.record_keys import KEYS, ROW_ORDER, check_order, join, key_text, with_keys
from fl_tiprdc.evaluation.scores import resample
from fl_tiprdc.evaluation.spread_columns import is_index
from fl_tiprdc.notices import DataNotice

SETTING = "publication"  # in metrics.csv


@dataclass(frozen=True)
class Audited:
    """Hold a publication with its labels, split by people.

    Attributes:
        releases: the publication, preceded by raw features if there are some.
        known: labels of the contributors' rows.
        unknown: labels of the held-out people's rows.
        attributes: private attributes and tasks with their classes, by name.
        joined: how labels were matched to representations.
        columns: what the raw features' numbers are; none: they are not at hand.
        finite: the publication's codes, if it takes few values; None: it doesn't.
    """

    releases: tuple[AuditedRelease, ...]
    known: Truth
    unknown: Truth
    attributes: dict[str, Attribute]
    joined: str
    columns: tuple[Column, ...] = ()
    finite: PublishedCodes | None = None

    @property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """Return private attribute -> names of its classes."""
        return {name: self.attributes[name].classes for name in self.known.attacks}


def _participants(keys: pd.DataFrame, labels: pd.DataFrame, column: str) -> Ints:
    """Return the person [n] that a record belongs to; without a column, every record is a person."""
    if not column:
        return np.arange(len(keys), dtype=np.int64)
    sides = labels.drop(columns=[name for name in keys.columns if name in labels.columns])
    values = pd.concat([keys, sides], axis=1)
    require_columns(values, [column], "participant column")
    if values[column].isna().any():
        raise InputError(f"participant column '{column}' has no value for {values[column].isna().sum()} records")
    return np.asarray(pd.factorize(key_text(values[column]))[0], dtype=np.int64)


def prepare_audit(
    publication: Publication,
    labels: pd.DataFrame,
    private: Sequence[str] = (),
    tasks: Sequence[str] = (),
    participant: str = "",
    held_out: float = 0.2,
    raw: pd.DataFrame | None = None,
    data: DataConfig | None = None,
) -> Audited:
    """Join labels, split by people, encode labels; everything that can be wrong is found here.

    Args:
        publication: what was published.
        labels: a table of labels, see `join`.
        private: columns of it to attack; none: all that are neither keys, nor tasks, nor the participant.
        tasks: columns of it to predict; none: no task.
        participant: column, of either side, with the person a record belongs to; empty: every record is a person.
        held_out: share of the people that attackers are tested on.
        raw: raw features of the same records, to set the publication against; a table, joined as labels are. Label
            columns in it are left out.
        data: how columns are read: `columns` and `unite_spellings`; None: as their values tell.

    Raises:
        InputError: naming the column and what is wrong with it.
    """
    data = data or DataConfig()
    named = (*private, *tasks, participant)
    joined, how = join(publication.keys, with_keys(labels, named), "label table")
    if how == ROW_ORDER:
        check_order(publication.marks, joined, "label table")
    people = _participants(publication.keys, joined, participant)
    if len(np.unique(people)) < 2:
        raise InputError("the publication has fewer than two people: nobody could be held out")
    private = list(private) or _attackable(joined, (*tasks, participant, *KEYS, *_ignored(data)))
    _check_names(joined, private, tasks, participant)
    tested = hold_out(people, held_out, [classes_of(joined[name]) for name in (*private, *tasks)])
    attributes: dict[str, Attribute] = {}
    codes: dict[str, Ints] = {}
    texts: dict[str, pd.Series] = {}
    for what, names in (("private attribute", private), ("task", tasks)):
        for name in names:
            texts[name] = _label(joined[name], name, what, ~tested, data)
            code, (attributes[name],) = encode_private(texts[name].to_frame(name), ~tested)
            codes[name] = code[:, 0]
            if len(np.unique(codes[name][tested])) < 2:
                raise InputError(
                    f"{what} '{name}' has a single value among the {len(np.unique(people[tested]))} held-out people:"
                    " hold out a larger share"
                )

    def truth(rows: npt.NDArray[np.bool_]) -> Truth:
        return Truth(
            {name: codes[name][rows] for name in private},
            {name: codes[name][rows] for name in tasks},
            {name: len(attribute.classes) for name, attribute in attributes.items()},
            people[rows],
            {name: attribute.classes for name, attribute in attributes.items()},
        )

    columns: tuple[Column, ...] = ()
    finite = published_codes(publication, tested)
    codes_of = None if finite is None else (finite.contributors, finite.held_out)
    sides = publication.z[~tested], publication.z[tested]
    releases = [AuditedRelease(SETTING, "published", publication.lam, 0, *sides, codes=codes_of)]
    if raw is not None:
        frame, how_raw = join(publication.keys, with_keys(raw, named), "table of raw features")
        if how_raw == ROW_ORDER:
            check_order(publication.marks, frame, "table of raw features")
        frame = frame.drop(columns=[n for n in (*private, *tasks, participant, *KEYS) if n in frame.columns])
        hidden = pd.DataFrame({n: texts[n] for n in private})
        table = Table(
            feature_columns(frame, data.columns, ~tested, unite=data.unite_spellings), hidden, {}, people, tested
        )
        population = encode(table, held_out)
        sides = raw_features(population.contributors), raw_features(population.held_out)
        columns = population.contributors.description.columns
        releases.insert(0, AuditedRelease("raw", "raw", 0.0, 0, *sides))
    known, unknown = truth(~tested), truth(tested)
    check_measurable(known, unknown)
    return Audited(tuple(releases), known, unknown, attributes, how, columns, finite)


def _attackable(labels: pd.DataFrame, others: Sequence[str]) -> list[str]:
    """Return the columns of a label table that are left to attack; a `DataNotice` tells of an index without a name."""
    names = [str(name) for name in labels.columns if name not in others]
    indices = [name for name in names if is_index(name, labels[name])]
    if indices:
        told = ", ".join(f"'{name}'" for name in indices)
        warnings.warn(f"left out of the labels, as they number the rows: {told}", DataNotice, stacklevel=3)
    return [name for name in names if name not in indices]


def _check_names(labels: pd.DataFrame, private: Sequence[str], tasks: Sequence[str], participant: str) -> None:
    require_columns(labels, private, "private attribute")
    require_columns(labels, tasks, "task")
    if not private:
        raise InputError("no column of the label table is left to attack: name one, --private COLUMN")
    roles = [*private, *tasks, *([participant] if participant else [])]
    for name in roles:
        if roles.count(name) > 1:
            raise InputError(f"column '{name}' is named twice: it can be private, a task or the participant, or none")


def _ignored(data: DataConfig) -> list[str]:
    return [name for name, kind in data.columns.items() if kind == "ignore"]


def _label(values: pd.Series, name: str, what: str, known: npt.NDArray[np.bool_], data: DataConfig) -> pd.Series:
    missing = int(values.isna().sum())
    if missing:
        raise InputError(f"{what} '{name}' has no label for {missing} of {len(values)} published records")
    return label_values(name, values, data.columns.get(name, ""), known, what, data.unite_spellings)


def audit_published(
    audited: Audited,
    config: AuditConfig,
    on_model: Callable[[], None] | None = None,
    on_answer: Callable[[str, AttackAnswer], None] | None = None,
) -> pd.DataFrame:
    """Return rows of metrics.csv: the panel on every release, model by model; of a finite one the exact attack.

    Args:
        audited: releases and labels.
        config: the panel.
        on_model: told when an attacker and probe of one kind have answered: for each release as often as `panel` has
            names.
        on_answer: told a release's setting, and what an attacker says of its held-out people.
    """
    tables: list[pd.DataFrame] = []
    for release in audited.releases:
        told = None if on_answer is None else partial(on_answer, release.setting)
        for number, name in enumerate(panel(config)):
            chosen = {
                "attackers": tuple(n for n in config.attackers if n == name),
                "probes": tuple(n for n in config.probes if n == name),
            }
            alone = config.model_copy(update=chosen)
            table = audit(release, audited.known, audited.unknown, alone, detailed=True, on_answer=told)
            tables.append(table if number == 0 else table[table["model"] != MAJORITY])
            if on_model is not None:
                on_model()
        if release.codes is not None:
            weights = resample(audited.unknown.participant, config.bootstrap, 0)
            sides = audited.known, audited.unknown
            tables.append(exact_attack(release, *release.codes, *sides, weights, on_answer=told))
    return pd.concat(tables, ignore_index=True)


def panel(config: AuditConfig) -> list[str]:
    """Return names of attackers and probes; none in the white box: nobody knows how the release was made."""
    return [name for name in dict.fromkeys((*config.attackers, *config.probes)) if name in CLASSIFIERS]


def summarize_published(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return a row a private attribute and task: the best model by AUC, beside chance and raw features, if audited.

    A finite release has another row for each private attribute, of kind "exact": the best possible attacker. Attacks
    have "tpr-at-1%-fpr" and "tpr-at-5%-fpr" too, and of more than two classes the two that are
    told apart best, worst_pair and worst_pair_against, and worst_pair_auc.
    Columns: kind, target, model, auc, low, high (95 % interval), chance (AUC of the majority), accuracy and
    chance_accuracy; with raw features also raw_auc and, of tasks, retention = (AUC - ½) / (AUC(raw) - ½).
    """
    keys = ["kind", "target"]
    own = metrics[metrics["setting"] == SETTING]
    by_chance = own[(own["model"] == MAJORITY) & own["metric"].isin(("auc", "accuracy")) & own["level"].isna()]
    chance = by_chance.pivot(index=keys, columns="metric", values="value").reset_index()
    models = own[own["model"] != MAJORITY]
    best = best_models(own)[[*keys, "model", "value", "low", "high"]]
    right = models[models["metric"] == "accuracy"][[*keys, "model", "value"]]
    table = (
        best.rename(columns={"value": "auc"})
        .merge(
            chance[[*keys, "auc", "accuracy"]].rename(columns={"auc": "chance", "accuracy": "chance_accuracy"}), on=keys
        )
        .merge(right.rename(columns={"value": "accuracy"}), on=[*keys, "model"])
    )
    table = _with_detection(table, own)
    raw = metrics[metrics["setting"] == "raw"]
    if len(raw):
        compared = best_models(raw)[[*keys, "value"]].rename(columns={"value": "raw_auc"})
        attacks = compared[compared["kind"] == "attack"].assign(kind=EXACT)  # raw features have no table of codes
        table = table.merge(pd.concat([compared, attacks]), on=keys)
        retained = (table["auc"] - 0.5) / (table["raw_auc"] - 0.5)
        # a task that raw features can't tell has nothing to retain
        table["retention"] = retained.where((table["kind"] == "task") & (table["raw_auc"] > 0.5))
    return table


def _with_detection(table: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Add what `detection` says of each attack in the table: a column a false positive rate, and the worst pair."""
    keys = ["kind", "target", "model"]
    for metric in FALSE_POSITIVE_RATES:
        values = metrics.loc[metrics["metric"] == metric, [*keys, "value"]].rename(columns={"value": metric})
        table = table.merge(values, on=keys, how="left")
    pairs = metrics[(metrics["metric"] == PAIR_AUC) & metrics["value"].notna()]
    if len(pairs):
        apart = (pairs["value"] - 0.5).abs().groupby([pairs[key] for key in keys], sort=False)
        named = {"group": "worst_pair", "against": "worst_pair_against", "value": "worst_pair_auc"}
        table = table.merge(pairs.loc[apart.idxmax(), [*keys, *named]].rename(columns=named), on=keys, how="left")
    return table
