"""Methods: what each optimizes and releases."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from fl_tiprdc.frozen import Frozen, Positive, Share


class CodesConfig(Frozen):
    """Say how codes are made: their codebook, and the coupling that makes them independent of private classes."""

    sees_private: bool = Field(
        True, description="whether a record's private class has a say in its code; false: x alone decides"
    )
    codes: int = Field(0, ge=0, le=65535, description="number of codes; 0: as many as the crowd can certify")
    known: tuple[str, ...] = Field(
        (),
        description="columns of a table that attackers are taken to know: codes tell the private class to nobody who "
        "knows their values either (of a number: on which side of the median it is)",
    )
    adversarial: Share = Field(
        0.0, description="terms = both: weight of the privacy term while the extractor is trained"
    )
    extractor: Literal["auto", "trained", "components"] = Field(
        "auto",
        description="what is coded: the output of a trained extractor, or principal components, which a crowd sums up "
        "in a few exchanges; auto: components of pictures, unless network.architecture is set",
    )
    component_rounds: Positive = Field(8, description="exchanges in which principal components are found")
    fewest: int = Field(32, ge=2, description="codes that are made even where the crowd can't certify so many")
    target: float = Field(0.575, gt=0.5, lt=1, description="certified attack for which the number of codes is chosen")
    certifying: float = Field(
        0.25, gt=0, lt=1, description="share of the people who have no part in any fit and certify what was fitted"
    )
    lloyd_rounds: int = Field(3, ge=0, description="k-means steps after the last split of cells")
    coupling_rounds: int = Field(12, ge=0, description="updates of the potentials by which classes use codes alike")
    temperature: float = Field(
        0.12, gt=0, description="softness of the assignment to codes, in units of a cell's mean squared radius"
    )

    @model_validator(mode="after")
    def _known_if_seen(self) -> "CodesConfig":
        if self.known and not self.sees_private:
            raise ValueError(
                "known must be [] with sees_private = false: codes of x alone can't respect levels of columns"
            )
        return self


class MethodConfig(Frozen):
    """Say what is optimized. A method is a named set of these; see METHODS."""

    privacy: str = Field(
        "negated-cross-entropy",
        description="the extractor's objective against the adversary: negated-cross-entropy or maximum-entropy",
    )
    information: str = Field(
        "reconstruction",
        description="the critic's bound on I(x; z | u): jsd, jsd-joint, jsd-pairs, infonce or reconstruction",
    )
    terms: Literal["both", "privacy", "information"] = Field(
        "both", description="what the extractor minimizes: both terms weighed by lambda, or one of them alone"
    )
    channel: bool = Field(True, description="release through the noisy, power-constrained channel")
    sigma_low: float = Field(0.15, ge=0, description="the channel's noise at lambda 0")
    sigma_high: float = Field(1.0, ge=0, description="the channel's noise at lambda 1; geometric in between")
    pretraining: float = Field(
        0.0,
        ge=0,
        description="updates before the training in which extractor and adversary together learn the private value; "
        "1: as many as the training has",
    )
    adversary_steps: int = Field(
        1, ge=0, description="updates of the adversary alone before each update of all three networks"
    )
    closing_steps: int = Field(
        10,
        ge=0,
        description="further such updates while the extractor's step size falls to 0, so that the adversary at its end "
        "has learned as much as an attacker would; not with weights",
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's momentum; little of it keeps adversarial training calm")
    decay: Share = Field(
        0.3, description="share of the updates over which the extractor's step size falls to 0; not with weights"
    )
    drop: Share = Field(1.0, description="share of the training after which all step sizes fall to a tenth")
    exchange: str = Field(
        "gradients",
        description="what clients send: gradients at common weights, or weights after training on their own",
    )
    local_rounds: Positive = Field(
        1, description="weights: rounds that clients train by themselves between two averages; fewer exchanges"
    )
    coding: CodesConfig | None = Field(
        None, description="release codes instead of representations; all values of lambda then share one extractor"
    )

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the networks that learn in an update of the extractor."""
        alone = self.coding is not None and self.terms == "information"
        return ("extractor", "critic") if alone else ("extractor", "adversary", "critic")

    def sigma(self, lam: float) -> float:
        """Return the channel's noise at one setting of the dial."""
        if not self.channel:
            return 0.0
        if self.sigma_low == 0:
            return self.sigma_high * lam
        return float(self.sigma_low * (self.sigma_high / self.sigma_low) ** lam)


_PAPER = MethodConfig(
    information="jsd",
    channel=False,
    adversary_steps=0,
    closing_steps=0,
    beta1=0.9,
    decay=0.0,
    exchange="weights",
)

_CODED = MethodConfig(
    terms="information",
    sigma_low=2.0,
    sigma_high=2.0,
    adversary_steps=0,
    closing_steps=0,
    beta1=0.9,
    exchange="weights",
    local_rounds=2,  # nothing adversarial is trained across clients: they may go further by themselves
    coding=CodesConfig(),
)


@dataclass(frozen=True)
class Method:
    """Describe a named method.

    Attributes:
        settings: what is optimized.
        description: a line, for the catalogue.
    """

    settings: MethodConfig
    description: str


METHODS: dict[str, Method] = {
    "tiprdc": Method(
        _PAPER, "the paper's: negated cross-entropy and a Jensen-Shannon bound, weights exchanged, no noise"
    ),
    "tiprdc+": Method(MethodConfig(), "a noisy, power-constrained release channel, gradients exchanged"),
    # information alone, with so much noise that only what parts of a record have in common gets through; codes hide
    "coded": Method(_CODED, "one of K codes a record, coupled so that all private classes use them alike; certified"),
    # for people whose private value nobody knows; who has the record learns nothing from its code
    "coded-x": Method(
        _CODED.model_copy(update={"coding": CodesConfig(sees_private=False)}),
        "coded without looking at the private value: codes of x alone",
    ),
    # The single terms of the paper's ablation. λ doesn't weigh one term against none: it moves the channel's noise.
    "pat": Method(MethodConfig(terms="privacy"), "tiprdc+ with its privacy term alone"),
    "maxmi": Method(MethodConfig(terms="information"), "tiprdc+ with its information term alone"),
    # TAPPFL (AAAI 2024, arXiv 2312.06989): an adversarial bound on I(z; u) against a Jensen-Shannon bound on
    # I(x; z | u), local training and FedAvg. As we understand it: tiprdc's objective with an adversary
    # that learns from a batch of its own before each update of all three.
    "tappfl": Method(
        _PAPER.model_copy(update={"adversary_steps": 1}),
        "TAPPFL (AAAI 2024): tiprdc with an adversary that learns from a batch of its own first",
    ),
}

BUILT_IN = frozenset(METHODS)  # names that mean the same everywhere
