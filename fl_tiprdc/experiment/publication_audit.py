"""The audit of somebody's publication: files and labels in, a folder of tables, figures and a certificate out."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
import tomli_w

from fl_tiprdc.config import AuditConfig, DataConfig
from fl_tiprdc.data.table_file import read_table
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attack_answers import AttackAnswer
from fl_tiprdc.evaluation.attacks.known_record import check_ladders, named_ladders
from fl_tiprdc.evaluation.attacks.registry import FURTHER, Case, take_answers
from fl_tiprdc.evaluation.certificate_file import read_certificate
from fl_tiprdc.evaluation.certified import CertifiedRelease, sentence
from fl_tiprdc.evaluation.further_summary import mean_known, summarize_further, summarize_known
from fl_tiprdc.evaluation.measurable import unmeasured
from fl_tiprdc.evaluation.posterior_risk import ATTRIBUTE
from fl_tiprdc.evaluation.publication_files import read_publication
from fl_tiprdc.evaluation.published import Audited, audit_published, panel, prepare_audit, summarize_published
from fl_tiprdc.evaluation.published_codes import certify_published, published_risk
from fl_tiprdc.evaluation.record_keys import KEYS
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import called, finish, git_commit, held, prepare, records_of
from fl_tiprdc.experiment.screen import Screen, say
from fl_tiprdc.report.exact_figure import exact_figure
from fl_tiprdc.report.file_names import file_name
from fl_tiprdc.report.style import draw_each
from fl_tiprdc.whole_file import write_table, write_whole

Answers = dict[str, dict[tuple[str, str], AttackAnswer]]  # setting -> (target, model)


@dataclass(frozen=True)
class PublicationRequest:
    """Say what to audit, and how.

    Attributes:
        publication: folder of published parts, or a .parquet or .npz file.
        labels: table of labels.
        private: columns of it to attack; none: all that are left.
        tasks: columns of it to predict.
        participant: column of the person a record belongs to; empty: every record is a person.
        held_out: share of the people that attackers are tested on.
        raw: table of raw features; None: there is none.
        certify: whether these people had no part in fitting the release.
        audit: names attackers, probes and further attacks.
        data: how columns of labels and raw features are read: `missing`, `unite_spellings` and `columns`.
    """

    publication: Path
    labels: Path
    private: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    participant: str = ""
    held_out: float = 0.2
    raw: Path | None = None
    certify: bool = False
    audit: AuditConfig = field(default_factory=AuditConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True)
class Findings:
    """Hold what was found, in short.

    Attributes:
        best: the best models.
        further: the further attacks.
        known: attackers who know some of a record.
        unmeasured: what was tried and couldn't be measured.
        certificate_lines: what is certified, or why nothing is.
    """

    best: pd.DataFrame
    further: pd.DataFrame
    known: pd.DataFrame
    unmeasured: pd.DataFrame
    certificate_lines: tuple[str, ...]


# ---- reading


def read_request(request: PublicationRequest, stages: Stages) -> Audited:
    """Read and check everything that a request names.

    Args:
        request: what to audit.
        stages: clock and progress display.

    Raises:
        InputError: naming what is wrong and what is allowed.
    """
    keys = (*KEYS, *([request.participant] if request.participant else []))  # "007" stays "007"
    categories = (*keys, *(name for name, kind in request.data.columns.items() if kind == "category"))
    used = (*keys, *request.private, *request.tasks) if request.private else None
    missing = request.data.missing
    with stages.stage("read", 1) as ticker:
        labels = read_table(request.labels, missing, used, categories)
        raw = None if request.raw is None else read_table(request.raw, missing, KEYS, categories)
        publication = read_publication(request.publication, ticker.of)
        audited = prepare_audit(
            publication,
            labels,
            request.private,
            request.tasks,
            request.participant,
            request.held_out,
            raw,
            request.data,
        )
    check_ladders(named_ladders(request.audit.known), audited.columns)
    if request.certify and audited.finite is None:
        raise InputError(
            f"--certify needs a release of codes: '{request.publication}' has too many different rows for its"
            f" {len(publication.z):,} records"
        )
    return audited


def check_own_certificate(publication: Path) -> list[str]:
    """Compute a publication's own certificate again, see `read_certificate`, and tell of it in lines.

    Raises:
        InputError: there is no such publication, or its certificate is none.
    """
    if not publication.exists():
        raise InputError(f"'{publication}' is not there")
    certified = read_certificate(publication) if publication.is_dir() else None
    if certified is None:
        return []
    told = [
        f"the publication's own certificate, computed again from its counts: {sentence(name, one)}"
        for name, one in certified.certificates.items()
    ]
    return [*told, *([certified.note] if certified.note else []), next(iter(certified.certificates.values())).note]


# ---- what is done


def _cases(audited: Audited, config: AuditConfig, metrics: pd.DataFrame, answers: Answers) -> Iterator[Case]:
    """Yield the publication, preceded by raw features where there are some."""
    first, *rest = audited.releases
    raw = (first.contributors, first.held_out) if rest else None
    for release in audited.releases:
        rows = metrics[metrics["setting"] == release.setting]
        yield Case(
            release,
            audited.known,
            audited.unknown,
            config,
            raw=raw,
            audited=rows,
            columns=audited.columns,
            answers=tuple(answers[release.setting].values()),
        )


def _attack_further(
    audited: Audited,
    config: AuditConfig,
    metrics: pd.DataFrame,
    answers: Answers,
    stages: Stages,
) -> pd.DataFrame:
    """Make every further attack of the config that is possible, and return rows of metrics.csv."""
    cases = [
        (name, case)
        for whole in _cases(audited, config, metrics, answers)
        for name in config.further
        if (case := FURTHER[name].case(whole)) is not None
    ]
    tables = [pd.DataFrame(columns=metrics.columns)]
    if cases:
        with stages.stage("further attacks", len(cases)) as ticker:
            for name, case in cases:
                tables.append(FURTHER[name].find(case))
                ticker.tick()
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)


def _certify(audited: Audited, certify: bool) -> tuple[CertifiedRelease | None, tuple[str, ...]]:
    """Certify a release of codes if it is said that its people had no part in the fit; and tell of it, in lines.

    No certificate and no line of a release that isn't finite.
    """
    if audited.finite is None:
        return None, ()
    if not certify:
        return None, (
            "not certified: these people may have had a part in fitting the codes, which would leak more about others;"
            " if none of them had, --certify bounds what any attacker can tell",
        )
    try:
        certified = certify_published(audited.releases[-1], audited.finite, audited.unknown, audited.class_names)
    except InputError as error:
        return None, (f"not certified: {error}",)
    told = [f"certified for {sentence(name, one)}" for name, one in certified.certificates.items()]
    return certified, (*told, next(iter(certified.certificates.values())).note)


def _require_an_attack(metrics: pd.DataFrame) -> None:
    """Check that some attack was measured.

    Raises:
        InputError: none was, as none of the attackers could be fitted: this must not look safe.
    """
    if "attack" not in set(summarize_published(metrics)["kind"]):
        raise InputError(
            "no attack could be measured: the people from whom attackers learn are all of one class; have more people"
        )


def audit_publication(
    request: PublicationRequest, audited: Audited, output: Path, console: Screen, given: Mapping[str, str]
) -> Findings:
    """Audit a publication and write a whole folder, or nothing.

    Args:
        request: what to audit, and how.
        audited: what it names, see `read_request`.
        output: folder of the results.
        console: for progress.
        given: what was asked for, in words, for config.toml.

    Raises:
        InputError: another process writes there, or no attack could be measured.
    """
    known, unknown = audited.known.participant, audited.unknown.participant
    answers: Answers = {release.setting: {} for release in audited.releases}

    def hear(setting: str, answer: AttackAnswer) -> None:
        answers[setting][answer.target, answer.model] = answer

    with held(output):
        partial_folder = prepare(output)
        try:
            say(
                console,
                f"{len(known) + len(unknown)} records of {audited.releases[-1].contributors.shape[1]} numbers, labels"
                f" joined by {audited.joined}; attackers learn from {len(set(known.tolist()))} people and are tested"
                f" on {len(set(unknown.tolist()))}",
            )
            models = len(audited.releases) * len(panel(request.audit))
            with Stages(console) as stages, stages.stage("audit", models) as ticker:
                rows = audit_published(
                    audited, request.audit, ticker.tick, hear if take_answers(request.audit.further) else None
                )
            _require_an_attack(rows)
            with Stages(console) as stages:
                further = _attack_further(audited, request.audit, rows, answers, stages)
            certified, lines = _certify(audited, request.certify)
            every = pd.concat([rows, *([further] if len(further) else [])], ignore_index=True)
            findings = Findings(
                summarize_published(rows),
                summarize_further(further),
                mean_known(summarize_known(further)),
                unmeasured(every),
                lines,
            )
            _write(partial_folder, audited, every, certified, findings, given)
            finish(partial_folder, output)
        finally:
            shutil.rmtree(partial_folder, ignore_errors=True)
    return findings


# ---- writing


def _write(
    folder: Path,
    audited: Audited,
    rows: pd.DataFrame,
    certified: CertifiedRelease | None,
    findings: Findings,
    given: Mapping[str, str],
) -> None:
    metrics = pd.concat([rows, *([certified.rows()] if certified else [])], ignore_index=True)
    write_whole(folder / "config.toml", tomli_w.dumps(dict(given)).encode())
    write_table(folder / "metrics.csv", metrics, 6)
    sides = {"contributors": audited.known.participant.tolist(), "held_out": audited.unknown.participant.tolist()}
    facts = {
        "command": called(),
        "commit": git_commit(),
        "joined_by": audited.joined,
        "records": {side: len(of) for side, of in sides.items()},
        "people": {side: len(set(of)) for side, of in sides.items()},
        "numbers": audited.releases[-1].contributors.shape[1],
        "classes": {name: list(attribute.classes) for name, attribute in audited.attributes.items()},
        "best": records_of(findings.best),
        "further_attacks": records_of(findings.further),
        **({"known_record": records_of(findings.known)} if len(findings.known) else {}),
        **({"unmeasured": records_of(findings.unmeasured)} if len(findings.unmeasured) else {}),
        **({"codes": len(audited.finite.names)} if audited.finite else {}),
        **({"certificate": certified.as_record()} if certified else {}),
    }
    write_whole(folder / "summary.json", json.dumps(facts, indent=1).encode())
    if audited.finite is None:
        return
    risk = published_risk(audited.finite, audited.known, audited.unknown, audited.class_names)
    write_table(folder / "risk.csv", risk, 6)
    for attribute, of_one in risk.groupby(ATTRIBUTE, sort=False):
        picture = {file_name(f"exact-{attribute}"): partial(exact_figure, of_one, str(attribute))}
        draw_each(folder / "figures", picture)
