"""Names of models in metrics.csv for attacks that are tried at several levels: "mlp of 1000 leaks"."""

import re

import pandas as pd

_LEVEL = re.compile(r"(?P<model>.+) of (?P<level>\d+) (?P<unit>.+)")


def at_level(model: str, level: int, unit: str) -> str:
    """The name of a model at one level: "mlp", 4, "draws" -> "mlp of 4 draws"."""
    return f"{model} of {level} {unit}"


def split_levels(models: pd.Series) -> pd.DataFrame:
    """What `at_level` put together: columns model, level and unit; a name without a level has NaN and ""."""
    parts = models.astype(str).str.extract(_LEVEL)
    return pd.DataFrame(
        {
            "model": parts["model"].fillna(models),
            "level": parts["level"].astype(float),
            "unit": parts["unit"].fillna(""),
        }
    )
