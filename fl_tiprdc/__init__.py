"""Federated TIPRDC: train a crowd's anonymizing feature extractor together, publish, audit.

`Extractor` loads what a run released; `TiprdcTransformer` is the method for scikit-learn.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fl_tiprdc.extractor.released import Extractor as Extractor
    from fl_tiprdc.extractor.transformer import TiprdcTransformer as TiprdcTransformer

__version__ = "0.2.0"

# imported when first asked for, so that the package itself needs no torch
_LAZY = {
    "Extractor": "fl_tiprdc.extractor.released",
    "TiprdcTransformer": "fl_tiprdc.extractor.transformer",
}
__all__ = ["Extractor", "TiprdcTransformer", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
