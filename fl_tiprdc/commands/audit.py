"""Audit published representations, anybody's: what they tell about a private attribute.

fl-tiprdc audit PUBLICATION --labels labels.csv --private sex --tasks income

PUBLICATION is a folder of Parquet files or an .npz. Labels are joined by client and record, by id, or by the order of
rows. Without labels, the certificate that came with a publication is computed again.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from fl_tiprdc.command_line.parser import Parser, one_name, require_text, some_words
from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.own_table import read_table
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks.exact_attack import KIND as EXACT
from fl_tiprdc.evaluation.attacks.known_record import check_ladders, check_used, named_ladders
from fl_tiprdc.evaluation.attacks.registry import FURTHER, Case, named_attacks
from fl_tiprdc.evaluation.audit import check_panel
from fl_tiprdc.evaluation.certificate_file import read_certificate
from fl_tiprdc.evaluation.certified import CertifiedRelease, sentence
from fl_tiprdc.evaluation.classifiers import BUILT_IN, OF_PACKAGES
from fl_tiprdc.evaluation.further_summary import mean_known, summarize_further, summarize_known
from fl_tiprdc.evaluation.measurable import unmeasured, unmeasured_lines
from fl_tiprdc.evaluation.posterior_risk import ATTRIBUTE
from fl_tiprdc.evaluation.publication_files import read_publication
from fl_tiprdc.evaluation.published import (
    Audited,
    audit_published,
    panel,
    prepare_audit,
    summarize_published,
)
from fl_tiprdc.evaluation.published_codes import certify_published, published_risk
from fl_tiprdc.evaluation.record_keys import KEYS
from fl_tiprdc.experiment.audit_tables import best_table, further_table, known_table
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import called, finish, git_commit, held, prepare
from fl_tiprdc.experiment.screen import Screen, say, show_table
from fl_tiprdc.report.exact_figure import exact_figure
from fl_tiprdc.report.file_names import digest, file_name
from fl_tiprdc.report.style import draw_each
from fl_tiprdc.whole_file import write_whole

# a publication comes without the networks that made it
POSSIBLE = tuple(name for name, attack in FURTHER.items() if "networks" not in attack.needs)


def audit_parser() -> Parser:
    """Return the parser of the flags."""
    parser = Parser(description=__doc__ or "")
    parser.add_argument("publication", type=Path, help="folder of published parts, or a .parquet or .npz file")
    parser.add_argument("--labels", type=Path, help="table of labels, .csv or .parquet (default: none)")
    parser.add_argument("--private", metavar="COL[,COL]", help="columns to attack (default: all that are left)")
    parser.add_argument("--tasks", metavar="COL[,COL]", help="columns to predict (default: none)")
    parser.add_argument(
        "--participant",
        metavar="COL",
        help="column of the person a record belongs to (default: one record a person)",
    )
    parser.add_argument(
        "--held-out", metavar="SHARE", default="0.2", help="share of the people to test on (default: %(default)s)"
    )
    parser.add_argument("--raw", type=Path, help="table of raw features, for retention (default: none)")
    parser.add_argument(
        "--attacks",
        metavar="NAME[,NAME]",
        help="further attacks: leaks, linkage, reidentification and known-record (both need --raw); or all, or none"
        f" (default: {','.join(name for name in AuditConfig().further if name in POSSIBLE)})",
    )
    parser.add_argument(
        "--attackers",
        metavar="NAME[,NAME]",
        help=f"more attackers, {', '.join(OF_PACKAGES)}: pip install 'fl-tiprdc[attackers]' (default: none)",
    )
    parser.add_argument(
        "--known",
        metavar="COL[,COL]",
        help="columns of --raw that attackers of known-record are taken to know (default: the most telling ones)",
    )
    parser.add_argument(
        "--certify",
        action="store_true",
        help="these people had no part in fitting the release: bound what anybody can tell from codes (default: off)",
    )
    parser.add_argument("--output", type=Path, help="folder of the results (default: results/audit- and a name)")
    return parser


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = float("nan")
    if not 0 < share < 1:
        raise InputError(f"--held-out '{text}': give a share above 0 and below 1")
    return share


def _attacks(text: str | None, config: AuditConfig, raw: bool) -> tuple[str, ...]:
    """Return the names of further attacks, of those that weren't asked for by name only what is possible here."""
    asked = config.further if text is None else some_words(text, "attacks")
    names = named_attacks(asked)
    for name in names if text is not None and asked == names else ():
        if name not in POSSIBLE:
            raise InputError(
                f"attack '{name}' needs the networks, which a publication comes without: choose from"
                f" {', '.join(POSSIBLE)}"
            )
        if not raw and "raw" in FURTHER[name].needs:
            raise InputError(f"attack '{name}' needs raw features: --raw FILE")
    return tuple(name for name in names if name in POSSIBLE)


def _cases(audited: Audited, config: AuditConfig, metrics: pd.DataFrame) -> Iterator[Case]:
    """Yield the publication, preceded by raw features where there are some."""
    first, *rest = audited.releases
    raw = (first.contributors, first.held_out) if rest else None
    for release in audited.releases:
        found = metrics[metrics["setting"] == release.setting]
        yield Case(release, audited.known, audited.unknown, config, None, raw, None, found, audited.columns)


def attack_further(audited: Audited, config: AuditConfig, metrics: pd.DataFrame, stages: Stages) -> pd.DataFrame:
    """Make every further attack of the config that is possible, and return rows of metrics.csv.

    Args:
        audited: releases and labels.
        config: names the attacks.
        metrics: what the audit found.
        stages: clock and progress display.
    """
    cases = [
        (name, case)
        for whole in _cases(audited, config, metrics)
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


def read_audit(parsed: argparse.Namespace, config: AuditConfig, stages: Stages) -> Audited:
    """Read and check everything that the flags name.

    Args:
        parsed: the flags.
        config: names the attacks, and the columns that are taken to be known.
        stages: clock and progress display.

    Raises:
        InputError: naming what is wrong and what is allowed.
    """
    private, tasks = some_words(parsed.private, "private"), some_words(parsed.tasks, "tasks")
    share = _share(parsed.held_out)
    with stages.stage("read", 1) as ticker:
        participant = "" if parsed.participant is None else one_name(parsed.participant, "participant")
        keys = (*KEYS, *([participant] if participant else []))  # "007" stays "007"
        used = (*keys, *private, *tasks) if private else None
        labels = read_table(parsed.labels, wanted=used, categories=keys)
        raw = read_table(parsed.raw, wanted=KEYS, categories=keys) if parsed.raw is not None else None
        publication = read_publication(parsed.publication, ticker.of)
        audited = prepare_audit(publication, labels, private, tasks, participant, share, raw)
    check_ladders(named_ladders(config.known), audited.columns)
    if parsed.certify and audited.finite is None:
        raise InputError(
            f"--certify needs a release of codes: '{parsed.publication}' has too many different rows for its"
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


def _require_nothing_else(parsed: argparse.Namespace, own_lines: Sequence[str]) -> None:
    """Check that an audit without labels has a certificate to check, and was asked for nothing that needs labels.

    Raises:
        InputError: saying what is missing.
    """
    if not own_lines:
        raise InputError(f"--labels is missing, and '{parsed.publication}' has no certificate of its own to check")
    needing = ("private", "tasks", "participant", "raw", "attacks", "attackers", "known", "certify", "output")
    for flag in needing:
        if getattr(parsed, flag):
            raise InputError(f"--{flag} needs --labels")


def certify_people(parsed: argparse.Namespace, audited: Audited) -> tuple[CertifiedRelease | None, list[str]]:
    """Certify a release of codes if it is said that its people had no part in the fit; and tell of it, in lines.

    No certificate and no line of a release that isn't finite.
    """
    if audited.finite is None:
        return None, []
    if not parsed.certify:
        return None, [
            "not certified: these people may have had a part in fitting the codes, and others may be told apart better;"
            " if none of them had, say so with --certify, and what any attacker can tell is bounded"
        ]
    try:
        certified = certify_published(audited.releases[-1], audited.finite, audited.unknown, audited.class_names)
    except InputError as error:
        return None, [f"not certified: {error}"]
    told = [f"certified for {sentence(name, one)}" for name, one in certified.certificates.items()]
    return certified, [*told, next(iter(certified.certificates.values())).note]


@dataclass(frozen=True)
class Summaries:
    """What was found, in short.

    Attributes:
        best: the best models.
        further: the further attacks.
        known: attackers who know some of a record.
        unmeasured: what was tried and couldn't be measured.
    """

    best: pd.DataFrame
    further: pd.DataFrame
    known: pd.DataFrame
    unmeasured: pd.DataFrame


def _write(
    folder: Path,
    parsed: argparse.Namespace,
    audited: Audited,
    panel_rows: pd.DataFrame,
    further_rows: pd.DataFrame,
    certified: CertifiedRelease | None,
) -> Summaries:
    found = Summaries(
        summarize_published(panel_rows),
        summarize_further(further_rows),
        mean_known(summarize_known(further_rows)),
        unmeasured(pd.concat([panel_rows, *([further_rows] if len(further_rows) else [])], ignore_index=True)),
    )
    tables = [panel_rows, *([further_rows] if len(further_rows) else []), *([certified.rows()] if certified else [])]
    metrics = pd.concat(tables, ignore_index=True)
    flags = {name: str(value) for name, value in vars(parsed).items() if value not in (None, False)}
    write_whole(folder / "config.toml", tomli_w.dumps(flags).encode())
    write_whole(folder / "metrics.csv", metrics.to_csv(index=False, float_format="%.6f").encode())
    facts = {
        "command": called(),
        "commit": git_commit(),
        "joined_by": audited.joined,
        "records": {"contributors": len(audited.known.participant), "held_out": len(audited.unknown.participant)},
        "people": {
            "contributors": len(set(audited.known.participant.tolist())),
            "held_out": len(set(audited.unknown.participant.tolist())),
        },
        "numbers": audited.releases[-1].contributors.shape[1],
        "classes": {name: list(attribute.classes) for name, attribute in audited.attributes.items()},
        "best": _records(found.best),
        "further_attacks": _records(found.further),
        **({"known_record": _records(found.known)} if len(found.known) else {}),
        **({"unmeasured": _records(found.unmeasured)} if len(found.unmeasured) else {}),
        **({"codes": len(audited.finite.names)} if audited.finite else {}),
        **({"certificate": certified.as_record()} if certified else {}),
    }
    write_whole(folder / "summary.json", json.dumps(facts, indent=1).encode())
    if audited.finite is not None:
        risk = published_risk(audited.finite, audited.known, audited.unknown, audited.class_names)
        write_whole(folder / "risk.csv", risk.to_csv(index=False, float_format="%.6f").encode())
        for attribute, rows in risk.groupby(ATTRIBUTE, sort=False):
            draw_each(
                folder / "figures",
                {file_name(f"exact-{attribute}"): partial(exact_figure, rows, str(attribute))},
            )
    return found


def _records(frame: pd.DataFrame) -> Any:
    return json.loads(frame.to_json(orient="records", double_precision=6))


def _require_an_attack(metrics: pd.DataFrame) -> None:
    """Check that some attack was measured.

    Raises:
        InputError: none was, as none of the attackers could be fitted: this must not look safe.
    """
    if "attack" not in set(summarize_published(metrics)["kind"]):
        raise InputError(
            "no attack could be measured: the people from whom attackers learn are all of one class; have more people"
        )


def _default_output(parsed: argparse.Namespace) -> Path:
    """Return results/audit-PUBLICATION, with what tells apart audits of other publications, labels and columns."""
    publication = parsed.publication.resolve()
    flags = {name: str(value) for name, value in vars(parsed).items()}
    return Path.cwd() / "results" / f"audit-{file_name(publication.stem)}-{digest(f'{publication} {flags}')}"


def _audit(
    parsed: argparse.Namespace, audited: Audited, config: AuditConfig, output: Path, console: Screen
) -> tuple[Summaries, list[str]]:
    """Do the work and put the whole folder in its place, which is held; what was found, and lines on certificates."""
    unfinished = prepare(output)
    try:
        people = len(set(audited.known.participant.tolist())), len(set(audited.unknown.participant.tolist()))
        say(
            console,
            f"{len(audited.known.participant) + len(audited.unknown.participant)} records of"
            f" {audited.releases[-1].contributors.shape[1]} numbers, labels joined by {audited.joined};"
            f" attackers learn from {people[0]} people and are tested on {people[1]}",
        )
        with Stages(console) as stages, stages.stage("audit", len(audited.releases) * len(panel(config))) as ticker:
            metrics = audit_published(audited, config, ticker.tick)
        _require_an_attack(metrics)
        with Stages(console) as stages:
            further_rows = attack_further(audited, config, metrics, stages)
        certified, certificate_lines = certify_people(parsed, audited)
        found = _write(unfinished, parsed, audited, metrics, further_rows, certified)
        finish(unfinished, output)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return found, certificate_lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, audit, print, write."""
    parsed = audit_parser().parse_args(arguments)
    for name, value in vars(parsed).items():
        require_text(str(value), name)
    attackers = (*BUILT_IN, *some_words(parsed.attackers, "attackers"))
    console, config = Screen(), AuditConfig(attackers=tuple(dict.fromkeys(attackers)))
    check_panel(config)
    try:
        own_lines = check_own_certificate(parsed.publication)
    except InputError as error:
        if parsed.labels is None:
            raise
        own_lines = [f"a certificate that doesn't hold: {error}"]  # somebody else's file: the audit goes on
    if parsed.labels is None:
        _require_nothing_else(parsed, own_lines)
        for line in own_lines:
            say(console, line)
        return
    further = _attacks(parsed.attacks, config, parsed.raw is not None)
    config = config.model_copy(update={"further": further, "known": some_words(parsed.known, "known")})
    check_used(config)
    quiet = Screen(stderr=True)  # wrong input leaves nothing on stdout
    with Stages(quiet if quiet.is_terminal else Screen(quiet=True)) as stages:
        audited = read_audit(parsed, config, stages)
    output = parsed.output or _default_output(parsed)
    with held(output):
        found, certificate_lines = _audit(parsed, audited, config, output, console)
    show_table(console, best_table(found.best))
    if len(found.further):
        show_table(console, further_table(found.further))
    if len(found.known):
        show_table(console, known_table(found.known))
    attacks = found.best[found.best["kind"] == "attack"]
    worst = attacks.sort_values("auc").iloc[-1]
    say(
        console,
        f"worst attack: {worst['model']} on {worst['target']}, AUC {worst['auc']:.3f}"
        f" ({worst['low']:.3f} to {worst['high']:.3f}; chance 0.5)",
    )
    exact = found.best[found.best["kind"] == EXACT]
    if audited.finite is not None and len(exact):
        best = exact.sort_values("auc").iloc[-1]
        say(
            console,
            f"exact attack, by the table of {len(audited.finite.names):,} codes: AUC {best['auc']:.3f} on"
            f" {best['target']} ({best['low']:.3f} to {best['high']:.3f})",
        )
    for line in [*unmeasured_lines(found.unmeasured), *own_lines, *certificate_lines, f"results: {output}"]:
        say(console, line)
