"""The page's part on codes: certificates as gauges, and what each code tells and stands for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.frontier import POINT
from fl_tiprdc.evaluation.posterior_risk import ATTRIBUTE
from fl_tiprdc.report.run_tables import RunTables


def certificate_rows(summary: Mapping[str, Any]) -> pd.DataFrame:
    """Return the certificates that summary.json has: a row for each release and private attribute.

    `certified` is missing where too few people certify; `says` tells it in words, with its conditions.
    """
    return pd.DataFrame(
        {
            **{name: release[name] for name in POINT},
            "attribute": attribute,
            "codes": release["codes"],
            "certified": one["certified"],
            "people": sum(one["people"].values()),
            "confidence": 1 - one["delta"],
            "bound": one["bound"],
            "says": one["says"],
        }
        for release in summary.get("certificates", ())
        for attribute, one in release["attributes"].items()
    )


@dataclass(frozen=True)
class Gauge:
    """Hold a certificate on the page's first picture.

    Attributes:
        heading: which release, and what it hides.
        says: the certificate in words.
        exact: AUC of the exact attack on held-out people; None: it wasn't made.
        certified: AUC that no attacker exceeds; None: too few people certify.
    """

    heading: str
    says: str
    exact: float | None
    certified: float | None

    @property
    def label(self) -> str:
        """Return what the picture shows, for people who don't see it."""
        exact = "" if self.exact is None else f"the exact attack {self.exact:.3f}, "
        certified = "nothing certified" if self.certified is None else f"certified {self.certified:.3f}"
        return f"Gauge from chance, 0.5, to certainty, 1: {exact}{certified}"


def gauges(run: RunTables) -> list[Gauge]:
    """Return the certificates of each setting and method at its largest λ; with several seeds the weakest."""
    table = certificate_rows(run.summary)
    if table.empty:
        return []
    attacks = run.metrics[(run.metrics["kind"] == "exact") & (run.metrics["metric"] == "auc")]
    attacks = attacks.loc[attacks["model"] != MAJORITY, [*POINT, "target", "value"]]
    attacks = attacks.rename(columns={"target": "attribute", "value": "exact"})
    key = ["setting", "method", "attribute"]
    table = table[table["lam"] == table.groupby(key)["lam"].transform("max")]
    weakest = table.sort_values("certified", ascending=False, na_position="first", kind="stable").drop_duplicates(key)
    shown = weakest.sort_index().merge(attacks, how="left", on=[*POINT, "attribute"])
    return [
        Gauge(
            f"{row['method']}, {row['setting']}, λ = {row['lam']:g}, hiding {row['attribute']}",
            row["says"].removeprefix(f"{row['attribute']}: ").rstrip(".") + ".",
            row["exact"],
            row["certified"],
        )
        for row in shown.astype(object).where(shown.notna(), None).to_dict("records")
    ]


def published_risk(run: RunTables) -> pd.DataFrame:
    """Return the rows of risk.csv of what is published, of the first seed; centralized ones where nothing else is."""
    risk = run.risk
    published = risk[risk["setting"] == "federated"]
    published = published if len(published) else risk
    first: pd.DataFrame = published[published["seed"] == published["seed"].min()]
    return first


def placed_codes(run: RunTables, setting: object, method: object) -> list[Mapping[str, Any]]:
    """Return where each code of a method lies, and what it stands for; empty where the run has no map."""
    maps = [one["codes"] for one in run.code_maps if (one["setting"], one["method"]) == (setting, method)]
    return list(maps[0]) if maps else []


def rarest_or_all(risk: pd.DataFrame) -> dict[str, float]:
    """Return the classes that are shown of an attribute, with their shares: of two the rarer, which mirrors the other.

    Args:
        risk: rows of one attribute and release.
    """
    shares = risk.drop_duplicates("class").set_index("class")["prior"]
    shown = shares.nsmallest(1) if len(shares) == 2 else shares
    return {str(name): float(share) for name, share in shown.items()}


def told_classes(run: RunTables) -> Iterator[tuple[str, str, str, str, float, pd.DataFrame]]:
    """Return each class that published codes tell of: setting, method, attribute, class, its share, its risk rows."""
    for (setting, method, attribute), rows in published_risk(run).groupby(["setting", "method", ATTRIBUTE], sort=False):
        for name, share in rarest_or_all(rows).items():
            yield str(setting), str(method), str(attribute), name, share, rows[rows["class"] == name]


def code_rows(run: RunTables) -> pd.DataFrame:
    """Return what each published code stands for, and P(class | code) at the smallest and the largest λ."""
    tables: list[pd.DataFrame] = []
    for setting, method, attribute, name, _, rows in told_classes(run):
        words = {code: place["words"] for code, place in enumerate(placed_codes(run, setting, method))}
        low, high = rows["lam"].min(), rows["lam"].max()
        mine = rows.set_index("code")
        table = mine.loc[mine["lam"] == high, ["share", "posterior", "low", "high"]].reset_index()
        table.insert(0, "method", method)
        table.insert(3, "told of", f"{attribute} {name}")
        if low < high:
            before = mine.loc[mine["lam"] == low, "posterior"]
            table.insert(4, f"at λ = {low:g}", table["code"].map(before))
        if any(words.values()):
            table["stands for"] = table["code"].map(words)
        tables.append(table.rename(columns={"posterior": f"at λ = {high:g}"}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
