"""A run's folder made of invented tables, hostile names among them, for the tests of the page."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import tomli_w

from fl_tiprdc.evaluation.posterior_risk import PosteriorRisk
from fl_tiprdc.report.figures import draw_all
from fl_tiprdc.report.run_tables import CODE_MAP, COLUMNS_BEFORE, read_run
from tests.invented_metrics import metrics_of
from tests.test_report import some_rounds

HOSTILE = "</script><script>document.title='broken'</script>"  # a column's name, as somebody's table may have it
TASKS = ("income", "college", HOSTILE)


def some_metrics(shift: float = 0.0) -> pd.DataFrame:
    """Three λ of two methods in two settings with two seeds, three attackers and two probes."""
    rows = []
    for seed in (0, 1):
        where = [("raw", "raw", 0.0), ("baseline", "gaussian-noise", 1.0), ("baseline", "gaussian-noise", 4.0)]
        where += [
            (s, m, lam) for s in ("centralized", "federated") for m in ("tiprdc", "tiprdc+") for lam in (0.1, 0.5, 0.9)
        ]
        for setting, method, lam in where:
            point = (setting, method, lam, seed)
            loss = 0.0 if setting == "raw" else 0.3 * min(1, lam) + 0.01 * seed
            loss *= {"tiprdc": 0.2, "gaussian-noise": 0.8}.get(method, 1.0)
            loss += 0.01 * (setting == "centralized") + shift * (setting != "raw")
            for i, attacker in enumerate(("mlp", "logistic", "boosting")):
                auc = 0.94 - loss - 0.03 * i
                rows.append((*point, "attack", "sex", attacker, "auc", auc, auc - 0.02, auc + 0.02))
                rows.append((*point, "attack", "sex", attacker, "accuracy", auc - 0.1, auc - 0.12, auc - 0.08))
            for i, task in enumerate(TASKS):
                for j, probe in enumerate(("boosting", "logistic")):
                    auc = 0.95 - 0.05 * i - 0.02 * j - loss / 4
                    rows.append((*point, "task", task, probe, "auc", auc, auc - 0.01, auc + 0.01))
                    rows.append((*point, "task", task, probe, "accuracy", auc - 0.1, auc - 0.12, auc - 0.08))
            if setting == "federated":
                for level, auc in ((100, 0.6), (1000, 0.7)):
                    of = {"level": level, "unit": "leaks"}
                    rows.append((*point, "leaks", "sex", "mlp", "auc", auc, auc - 0.1, auc + 0.1, of))
                    rows.append((*point, "leaks", "sex", "majority", "auc", 0.5, 0.5, 0.5, of))
    return metrics_of(rows)


def make_run(folder: Path, shift: float = 0.0, clients: int = 100) -> Path:
    """Write the folder."""
    folder.mkdir(parents=True)
    some_metrics(shift).to_csv(folder / "metrics.csv", index=False)
    some_rounds().to_csv(folder / "rounds.csv", index=False)
    summary = {
        "command": "python simulations/run.py --output '<here>'",
        "commit": "0123456789ab",
        "versions": {"numpy": "2.0"},
        "seconds": {"load data": 1.0, "audit": 2.5},
        "bytes": {"training_down": 36_000_000, "training_up": 3_000_000, "publication": 1_000_000},
        "frontier_areas": [{"setting": "federated", "method": "tiprdc+", "area": 0.8 - shift}],
        "capacities": [
            {"method": "tiprdc+", "lam": lam, "bits": bits} for lam, bits in ((0.1, 79.57), (0.5, 47.02), (0.9, 20.79))
        ],
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    config = {"dataset": "<img src=x>", "private": ["sex"], "clients": clients, "data": {"tasks": list(TASKS)}}
    (folder / "config.toml").write_text(tomli_w.dumps(config))
    place = folder / "publication" / "federated" / "tiprdc+" / "lam-0.5" / "seed-0"
    place.mkdir(parents=True)
    parts = {f"part-00000{i}.parquet": {"rows": 391 - i, "sha256": ""} for i in range(2)}
    for name in parts:
        (place / name).write_bytes(b"0" * 5000)
    release = {"d": 32, "sigma": 0.387, "lam": 0.5, "clients": clients, "parts": parts, "refused": {}}
    (place / "release.json").write_text(json.dumps(release))
    return folder


def draw_pictures(folder: Path) -> None:
    """Add figures/, which takes a second or two."""
    run = read_run(folder)
    draw_all(folder / "figures", run.points, run.tasks, run.rounds)


def make_coded_run(folder: Path) -> Path:
    """Write a folder whose federated `tiprdc+` has four certified codes and a map; at λ = 0.9 all codes are alike."""
    make_run(folder)
    metrics = pd.read_csv(folder / "metrics.csv")
    attacked = (metrics["kind"] == "attack") & (metrics["metric"] == "auc") & (metrics["setting"] == "federated")
    exact = metrics[attacked & (metrics["method"] == "tiprdc+") & (metrics["model"] == "mlp")]
    limits = [
        ("limit", "rank-within-class", 1.0, 0, "limit", task, "rank-within-class", "retention", 0.9, 0.8, 1.0)
        for task in TASKS
    ]
    bounds = exact.assign(kind="certificate", model="anybody", metric="auc-bound", value=exact["value"] + 0.05)
    tables = [metrics, exact.assign(kind="exact", model="table"), bounds, pd.DataFrame(limits, columns=COLUMNS_BEFORE)]
    pd.concat(tables).to_csv(folder / "metrics.csv", index=False)
    risks = []
    for lam, people in ((0.1, [[9, 1], [7, 3], [3, 7], [1, 9]]), (0.9, [[5, 5]] * 4)):
        risk = PosteriorRisk(np.array(people)).table(["Female", HOSTILE])
        risks.append(risk.assign(setting="federated", method="tiprdc+", lam=lam, seed=0, attribute="sex"))
    pd.concat(risks).to_csv(folder / "risk.csv", index=False)
    summary = json.loads((folder / "summary.json").read_text())
    sex = {"bound": "sharp", "delta": 0.05, "people": {"Female": 40, HOSTILE: 40}}
    summary["certificates"] = [
        {"setting": "federated", "method": "tiprdc+", "lam": lam, "seed": seed, "codes": 4}
        | {"attributes": {"sex": sex | {"certified": bound, "says": f"sex: nobody tells more than {bound}."}}}
        for lam, seed, bound in ((0.1, 0, 0.9), (0.9, 0, 0.6), (0.9, 1, 0.625))
    ]
    (folder / "summary.json").write_text(json.dumps(summary))
    codes = [{"x": i, "y": i % 2, "words": f"age {20 + i}; {HOSTILE}", "picture": ""} for i in range(4)]
    (folder / CODE_MAP).write_text(
        json.dumps([{"setting": "federated", "method": "tiprdc+", "seed": 0, "codes": codes}])
    )
    return folder
