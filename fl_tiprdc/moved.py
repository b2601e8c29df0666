"""Names of 0.1 that have moved: each works for one more version, with a warning that says where it is now."""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

GO_WITH = "0.3"

MOVED: Mapping[str, Mapping[str, str]] = {
    "fl_tiprdc.evaluation.audit": {"Release": "fl_tiprdc.evaluation.audit.AuditedRelease"},
    "fl_tiprdc.evaluation.certificate": {
        "Plan": "fl_tiprdc.evaluation.sharp_bound.Plan",
        "evidence": "fl_tiprdc.evaluation.sharp_bound.evidence",
        "offset": "fl_tiprdc.evaluation.sharp_bound.offset",
        "people_used": "fl_tiprdc.evaluation.sharp_bound.people_used",
        "subset_size": "fl_tiprdc.evaluation.sharp_bound.subset_size",
        "estimate_distance": "fl_tiprdc.evaluation.code_bounds.estimate_distance",
    },
    "fl_tiprdc.federated.publication": {
        "read_manifest": "fl_tiprdc.data.publication_store.read_manifest",
        "read_published_codes": "fl_tiprdc.data.publication_store.read_published_codes",
        "read_store": "fl_tiprdc.data.publication_store.read_store",
        "whole_parts": "fl_tiprdc.data.publication_store.whole_parts",
    },
    "fl_tiprdc.release.release": {"Release": "fl_tiprdc.release.release.ReleaseMaker"},
}


def names_moved_from(module: str) -> Callable[[str], Any]:
    """Return a module's `__getattr__`, which finds what `MOVED` says of it, with a DeprecationWarning."""

    def find(name: str) -> Any:
        if name not in MOVED[module]:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place = MOVED[module][name]
        warnings.warn(
            f"{module}.{name} is {place} now; the old name goes with {GO_WITH}", DeprecationWarning, stacklevel=2
        )
        home, _, current = place.rpartition(".")
        return getattr(import_module(home), current)

    return find
