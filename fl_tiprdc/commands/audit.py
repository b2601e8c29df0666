"""Audit published representations, this project's or others': what they tell about a private attribute.

fl-tiprdc audit PUBLICATION --labels labels.csv --private sex --tasks income

PUBLICATION is a folder of Parquet files or an .npz. Labels are joined by client and record, by id, or by the order of
rows. Without labels, the certificate that came with a publication is computed again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fl_tiprdc.command_line.parser import Parser, one_name, require_text, some_words
from fl_tiprdc.command_line.presets import config_file
from fl_tiprdc.config import AuditConfig, DataConfig, build_experiment, merge, read_toml
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks.exact_attack import KIND as EXACT
from fl_tiprdc.evaluation.attacks.known_record import check_used
from fl_tiprdc.evaluation.attacks.registry import FURTHER, named_attacks
from fl_tiprdc.evaluation.audit import check_panel
from fl_tiprdc.evaluation.classifiers import BUILT_IN, CLASSIFIERS, OF_PACKAGES
from fl_tiprdc.evaluation.measurable import unmeasured_lines
from fl_tiprdc.experiment.audit_tables import best_table, further_table, known_table
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.publication_audit import (
    Findings,
    PublicationRequest,
    audit_publication,
    check_own_certificate,
    read_request,
)
from fl_tiprdc.experiment.screen import Screen, say, show_table
from fl_tiprdc.report.file_names import digest, file_name

# a publication comes without the networks that made it
POSSIBLE = tuple(name for name, attack in FURTHER.items() if "networks" not in attack.needs)


def audit_parser() -> Parser:
    """Return the parser of the flags."""
    parser = Parser(description=__doc__ or "")
    parser.add_argument("publication", type=Path, help="folder of published parts, or a .parquet or .npz file")
    parser.add_argument("--labels", type=Path, help="table of labels, .csv or .parquet (default: none)")
    parser.add_argument("--private", metavar="COL[,COL]", help="columns to attack (default: all but keys and tasks)")
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
    parser.add_argument("--missing", metavar="LIST", help="words that mean missing in both tables (default: none)")
    parser.add_argument(
        "--unite-spellings",
        action="store_true",
        help="classes that differ in case, spaces or a final dot only are one (default: off)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="a TOML file whose tables [data] and [audit] are taken, such as a run's config.toml (default: none)",
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


def _require_nothing_else(parsed: argparse.Namespace, own_lines: Sequence[str]) -> None:
    """Check that an audit without labels has a certificate to check, and was asked for nothing that needs labels.

    Raises:
        InputError: saying what is missing.
    """
    if not own_lines:
        raise InputError(f"--labels is missing, and '{parsed.publication}' has no certificate of its own to check")
    for flag, value in vars(parsed).items():
        if value and flag not in ("publication", "held_out"):
            raise InputError(f"--{flag.replace('_', '-')} needs --labels")


def _default_output(parsed: argparse.Namespace) -> Path:
    """Return results/audit-PUBLICATION, with what tells apart audits of other publications, labels and columns."""
    publication = parsed.publication.resolve()
    flags = {name: str(value) for name, value in vars(parsed).items()}
    return Path.cwd() / "results" / f"audit-{file_name(publication.stem)}-{digest(f'{publication} {flags}')}"


def _settings(parsed: argparse.Namespace) -> tuple[AuditConfig, DataConfig]:
    """Return the panel and how columns are read: of the file that --config names, and of flags over it."""
    values = read_toml(config_file(parsed.config)) if parsed.config else {"audit": {"attackers": list(BUILT_IN)}}
    words = some_words(parsed.missing, "missing")
    flags: dict[str, Any] = {"missing": list(words)} if words else {}
    flags |= {"unite_spellings": True} if parsed.unite_spellings else {}
    experiment = build_experiment(merge(values, {"data": flags}))
    attackers = (*experiment.audit.attackers, *some_words(parsed.attackers, "attackers"))
    return experiment.audit.model_copy(update={"attackers": tuple(dict.fromkeys(attackers))}), experiment.data


def _request(parsed: argparse.Namespace) -> PublicationRequest:
    """Return what the flags ask for.

    Raises:
        InputError: naming the flag, what is wrong and what is allowed.
    """
    config, data = _settings(parsed)
    check_panel(config)
    if not set(config.attackers) & set(CLASSIFIERS):
        raise InputError(
            f"none of {', '.join(config.attackers)} attacks a publication without its networks: choose from"
            f" {', '.join(CLASSIFIERS)}"
        )
    further = _attacks(parsed.attacks, config, parsed.raw is not None)
    known = config.known if parsed.known is None else some_words(parsed.known, "known")
    config = config.model_copy(update={"further": further, "known": known})
    check_used(config)
    return PublicationRequest(
        publication=parsed.publication,
        labels=parsed.labels,
        private=some_words(parsed.private, "private"),
        tasks=some_words(parsed.tasks, "tasks"),
        participant="" if parsed.participant is None else one_name(parsed.participant, "participant"),
        held_out=_share(parsed.held_out),
        raw=parsed.raw,
        certify=parsed.certify,
        audit=config,
        data=data,
    )


def _show(findings: Findings, codes: int, console: Screen) -> None:
    """Print tables and, of what they say, the worst in a line."""
    show_table(console, best_table(findings.best))
    if len(findings.further):
        show_table(console, further_table(findings.further))
    if len(findings.known):
        show_table(console, known_table(findings.known))
    worst = findings.best[findings.best["kind"] == "attack"].sort_values("auc").iloc[-1]
    say(
        console,
        f"worst attack: {worst['model']} on {worst['target']}, AUC {worst['auc']:.3f}"
        f" ({worst['low']:.3f} to {worst['high']:.3f}; chance 0.5)",
    )
    exact = findings.best[findings.best["kind"] == EXACT]
    if codes and len(exact):
        best = exact.sort_values("auc").iloc[-1]
        say(
            console,
            f"exact attack, by the table of {codes:,} codes: AUC {best['auc']:.3f} on"
            f" {best['target']} ({best['low']:.3f} to {best['high']:.3f})",
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, audit, print, write."""
    parsed = audit_parser().parse_args(arguments)
    for name, value in vars(parsed).items():
        require_text(str(value), name)
    console = Screen()
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
    request = _request(parsed)
    quiet = Screen(stderr=True)  # wrong input leaves nothing on stdout
    with Stages(quiet if quiet.is_terminal else Screen(quiet=True)) as stages:
        audited = read_request(request, stages)
    output = parsed.output or _default_output(parsed)
    given = {name: str(value) for name, value in vars(parsed).items() if value not in (None, False)}
    findings = audit_publication(request, audited, output, console, given)
    _show(findings, len(audited.finite.names) if audited.finite else 0, console)
    lines = (*unmeasured_lines(findings.unmeasured), *own_lines, *findings.certificate_lines, f"results: {output}")
    for line in lines:
        say(console, line)
