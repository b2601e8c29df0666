"""The captions of static figures, which are their text alternatives too."""

from fl_tiprdc.evaluation.attacks.registry import FURTHER

_CAPTIONS = {
    "frontier": "Mean utility retention of the unknown tasks over the AUC of the worst attack; bars are "
    "95 % bootstrap intervals of the attack. Of codes it is the exact attack (a dot in the "
    "mark), and a tick to the right is what no attacker exceeds with 95 % confidence.",
    "comparison": "Centralized beside federated at each λ.",
    "tasks": "The same curves, task by task.",
    "training": "Federated training curves by round.",
    "methods": "Methods beside each other: worst attack and mean retention, a dot a λ.",
    "bounds": "Accuracy of the best probe, as the mean of both private groups, over the balanced accuracy of the best "
    "attacker. Where a task is Δ more frequent in one group than in the other, an attack of b leaves at most "
    "1 - max(0, Δ - (2b - 1)) / 2 to any probe on the same release. An estimate, as the best possible attacker is not "
    "known: a probe in the shaded area shows that the panel has missed one.",
    "further-attacks": "Membership: AUC of telling who trained the extractor from who didn't, by representations or, "
    "with all networks in hand, by losses. Re-identification: how often the right one of N people's raw records comes "
    "first; of published representations for somebody who has the extractor too.",
    "known-record": "AUC of an attacker who knows nothing of a record, some columns or all of it: alone (line) and "
    "with its release (marks, a value of λ each). Bars are 95 % intervals. Best columns are those that tell most.",
    "reconstruction": "Held-out people and what a decoder, trained on contributors, makes of their releases, beside "
    "the best constant image. Numbers are the mean MS-SSIM over held-out people: a release that comes down to the "
    "constant image's tells a decoder nothing.",
}


def captions() -> dict[str, str]:
    """Return the caption of each figure by its file's name."""
    return _CAPTIONS | {name: attack.figure.caption for name, attack in FURTHER.items() if attack.figure}


def pictures() -> tuple[str, ...]:
    """Return names of the figures that the page shows as they are, in order; it draws the others from tables."""
    levels = (name for name, attack in FURTHER.items() if attack.figure)
    return ("reconstruction", "comparison", "methods", "bounds", *levels, "further-attacks", "known-record")
