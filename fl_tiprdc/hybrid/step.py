"""The hybrid step: gradients of extractor, critic and adversary on one batch, for any subset of the three."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description, Floats, X
from fl_tiprdc.errors import require_known
from fl_tiprdc.hybrid.bounds import critic_and_bound, next_record
from fl_tiprdc.hybrid.privacy import PRIVACY, balanced_cross_entropy, negated_cross_entropy
from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.models.batch_norm import BatchNorm2d
from fl_tiprdc.models.critics import JointCritic
from fl_tiprdc.models.networks import (
    architecture_for,
    build_networks,
    has_components,
    network_for,
    representation_width,
)
from fl_tiprdc.release.channel import release
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.release.release import RECORDS_AT_ONCE, ChannelRelease, CodedRelease, ReleaseMaker, unit_features
from fl_tiprdc.seeding import derive

Parameters = dict[str, Tensor]
Groups = dict[str, Parameters]  # "extractor", "adversary", "critic" -> named parameters

GROUPS = ("extractor", "adversary", "critic")
PRETRAINED = ("extractor", "adversary")  # trained without the critic: both to tell the private value


class Batch(NamedTuple):
    """Hold a batch of one client's records, padded at the end.

    x is [b, D] float32, u [b, attributes] int64, mask [b] float32 with 1 for a record, noise [b, d] from N(0, I).
    """

    x: Tensor
    u: Tensor
    mask: Tensor
    noise: Tensor


class Losses(NamedTuple):
    """Means over a batch of the extractor's privacy term, the information bound and the adversary's cross-entropy."""

    privacy: Tensor
    information: Tensor
    adversary: Tensor


def scale_gradient(tensor: Tensor, factor: Tensor | float) -> Tensor:
    """Return the same numbers, whose gradient is multiplied by `factor` on the way back."""
    scaled = tensor * factor
    return scaled + (tensor - scaled).detach()


def gradients_at(parameters: Groups, loss: Callable[[Groups], tuple[Tensor, Losses]]) -> tuple[Groups, Losses]:
    """Return the gradients at `parameters` of what `loss` returns, and the losses; zero where they have no effect.

    It is plain autograd: `torch.func.grad` imports torch's compiler, which takes a process 70 MB and a second or two.
    """
    leaves = {
        name: {key: v.detach().requires_grad_() for key, v in group.items()} for name, group in parameters.items()
    }
    total, losses = loss(leaves)
    inputs = [value for group in leaves.values() for value in group.values()]
    found = iter(torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True))
    return {name: {key: next(found) for key in group} for name, group in leaves.items()}, losses


class HybridStep:
    """Compute the losses of one method on one batch, as pure functions of the parameters.

    The step has the networks' shapes and no state, so that it can be mapped over clients with `torch.func.vmap`.

    Args:
        description: meaning of x and u.
        network: architecture and layer widths.
        method: objectives and release channel.

    Attributes:
        d: numbers in a representation.
        components: whether the extractor is principal components, which are found by sums and not trained.
        stacks: when the step is to be mapped over clients, see `Architecture`.

    Raises:
        InputError: the architecture doesn't fit the data or the method, or a name of the method's is in no registry.
    """

    def __init__(self, description: Description, network: NetworkConfig, method: MethodConfig) -> None:
        self.components = has_components(description, network, method)
        network = network_for(description, network, method)
        self.description, self.network, self.method = description, network, method
        require_known("privacy objective", [method.privacy], PRIVACY)
        self._critic, self._bound = critic_and_bound(method.information)
        self._privacy = PRIVACY[method.privacy]
        self._reverses = self._privacy is negated_cross_entropy
        self._modules: dict[str, nn.Module] = build_networks(description, network, self._critic, 0)
        for module in self._modules.values():
            module.requires_grad_(False).eval()  # a release must not depend on the rest of its batch
        self.d = representation_width(description, network)
        self.stacks = architecture_for(description, network).stacks
        # a network that has a parameter in two places; looking for one takes as long as a small network's pass
        self._tied = {
            name: len(list(module.parameters())) < len(list(module.named_parameters(remove_duplicate=False)))
            for name, module in self._modules.items()
        }
        self._norms = {
            name: [part for part in module.modules() if isinstance(part, BatchNorm2d)]
            for name, module in self._modules.items()
        }

    def _run(self, group: str, parameters: Parameters, *inputs: Tensor) -> Tensor:
        """Return a network's output in float32, whatever precision the network itself computes in."""
        half = self.network.precision == "bfloat16"
        with torch.autocast(inputs[0].device.type, torch.bfloat16) if half else nullcontext():
            output: Tensor = functional_call(self._modules[group], parameters, inputs, tie_weights=self._tied[group])
        return output.float()

    def initial(self, seed: int) -> Groups:
        """Return fresh parameters, a function of `seed` alone."""
        modules = build_networks(self.description, self.network, self._critic, derive(seed, "initial-weights") % 2**63)
        return {
            name: {key: value.detach().clone() for key, value in modules[name].named_parameters()} for name in GROUPS
        }

    def shapes(self) -> dict[str, dict[str, torch.Size]]:
        """Return the shape of every parameter, by group and name."""
        return {name: {key: value.shape for key, value in self._modules[name].named_parameters()} for name in GROUPS}

    def represent(self, extractor: Parameters, x: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the representations [n, d] that a client publishes for x; without a channel `sigma` has no effect."""
        features = self._run("extractor", extractor, x)
        return release(features, noise, sigma) if self.method.channel else features

    def release(self, groups: Groups, lam: float, sigma: float | None = None) -> ReleaseMaker:
        """Return the release of trained parameters; without "codes" it publishes representations.

        Args:
            groups: trained parameters of "extractor", and of "codes" where they are fitted.
            lam: λ, the weight of privacy against information.
            sigma: the channel's noise; None takes the method's at `lam`.
        """

        def network(x: Tensor) -> Tensor:
            return self._run("extractor", groups["extractor"], x)

        if "codes" in groups:
            codes = Codes.of_arrays({name: value.numpy() for name, value in groups["codes"].items()})
            return CodedRelease(network, codes, self.description.classes)
        noise = self.method.sigma(lam) if sigma is None else sigma
        return ChannelRelease(network, self.d, noise, self.method.channel)

    def code_space(self, extractor: Parameters, x: X) -> Floats:
        """Return the points [n, d] of the representation space at which records x [n, *shape] are coded."""
        return unit_features(lambda part: self._run("extractor", extractor, part), x, self.d)

    def inputs(self, x: X) -> Iterator[Floats]:
        """Yield the flattened records [m, D] that a linear extractor's layer sees, some of x [n, *shape] at a time."""
        layers = self._modules["extractor"]
        assert isinstance(layers, nn.Sequential), "only a linear extractor has flattened inputs"
        for begin in range(0, len(x), RECORDS_AT_ONCE):
            part = torch.from_numpy(np.ascontiguousarray(x[begin : begin + RECORDS_AT_ONCE]))
            flat: Floats = layers[:-1](part).numpy()
            yield flat

    def needed(self, groups: Groups) -> Groups:
        """Return the groups that a training of the method needs."""
        return {name: groups[name] for name in GROUPS if name in self.method.groups}

    def _one_hot(self, u: Tensor) -> Tensor:
        # functional.one_hot looks at the values and can't be mapped over clients
        return torch.cat(
            [
                (u[:, a, None] == torch.arange(k, device=u.device)).float()
                for a, k in enumerate(self.description.classes)
            ],
            dim=1,
        )

    def _scores(self, critic: Parameters, batch: Batch, z: Tensor, u: Tensor) -> Tensor:
        """Return the critic's output; a critic of single pairs scores z [b, 2] with its own x and with the next one."""
        if not isinstance(self._modules["critic"], JointCritic):
            return self._run("critic", critic, batch.x, z, u)
        x = torch.cat([batch.x, batch.x[next_record(batch.mask)]])
        return self._run("critic", critic, x, torch.cat([z, z]), torch.cat([u, u])).reshape(2, -1).T

    def losses(self, groups: Groups, batch: Batch, sigma: Tensor) -> Losses:
        """Return the three losses, for evaluation."""
        return self._surrogate({}, groups, batch, torch.zeros(()), sigma)[1]

    def _weights(self, lam: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Return the weights of the privacy term and of the information term in the extractor's loss."""
        if self.method.terms == "both":
            return lam, 1 - lam
        return (1.0, 0.0) if self.method.terms == "privacy" else (0.0, 1.0)

    def _surrogate(
        self, trained: Groups, frozen: Mapping[str, Parameters], batch: Batch, lam: Tensor, sigma: Tensor
    ) -> tuple[Tensor, Losses]:
        """Return a scalar whose gradient in each trained group is that of the group's own loss, and the losses.

        The extractor's loss is λ·privacy - (1-λ)·information, or one term alone; the critic's is -information, and the
        adversary's its cross-entropy. One forward pass of extractor and critic serves all, as gradients are scaled or
        stopped on the way back.
        """
        groups = {**frozen, **trained}
        z = self.represent(groups["extractor"], batch.x, batch.noise, sigma)
        if "adversary" in trained and "critic" not in trained:
            return self._classification_loss(groups, batch, z if "extractor" in trained else z.detach())
        return self._hybrid_loss(groups, set(trained), batch, z, lam)

    def _cross_entropy(self, adversary: Parameters, batch: Batch, z: Tensor) -> Tensor:
        logits = self._run("adversary", adversary, z)
        return balanced_cross_entropy(logits, batch.u, batch.mask, self.description)

    def _classification_loss(self, groups: Groups, batch: Batch, z: Tensor) -> tuple[Tensor, Losses]:
        """Return the loss with which the adversary, alone or with the extractor, learns to tell the private value."""
        nothing, loss = torch.zeros((), device=z.device), self._cross_entropy(groups["adversary"], batch, z)
        return loss, Losses(nothing, nothing, loss.detach())

    def _hybrid_loss(
        self, groups: Groups, trained: set[str], batch: Batch, z: Tensor, lam: Tensor
    ) -> tuple[Tensor, Losses]:
        """Return the loss of all groups that are trained, and their losses; with nothing trained all losses."""
        weight_privacy, weight_information = self._weights(lam)
        total, u = torch.zeros((), device=z.device), self._one_hot(batch.u)
        privacy = adversary = total
        scores = self._scores(groups["critic"], batch, scale_gradient(z, weight_information), u)
        information = self._bound(scores, batch.x, u, batch.mask, self.description)
        total = total - information
        if self._reverses and {"extractor", "adversary"} <= trained:
            # one pass serves both: the extractor gets the adversary's gradient with its sign reversed
            adversary = self._cross_entropy(groups["adversary"], batch, scale_gradient(z, -weight_privacy))
            return total + adversary, Losses(-adversary.detach(), information.detach(), adversary.detach())
        if "adversary" in groups and (not trained or "extractor" in trained):
            still = {name: value.detach() for name, value in groups["adversary"].items()}
            logits = self._run("adversary", still, z)
            privacy = self._privacy(logits, batch.u, batch.mask, self.description)
            total = total + weight_privacy * privacy
        if "adversary" in groups and (not trained or "adversary" in trained):
            adversary = self._cross_entropy(groups["adversary"], batch, z.detach())
            total = total + adversary
        return total, Losses(privacy.detach(), information.detach(), adversary.detach())

    def training_loss(
        self, trained: Groups, frozen: Groups, batch: Batch, lam: Tensor, sigma: Tensor
    ) -> tuple[Tensor, Losses]:
        """Return a scalar whose gradient in each trained group is that of the group's own loss, and the losses.

        The gradient of a running statistic is how far it is from the batch's.
        """
        total, losses = self._surrogate(trained, frozen, batch, lam, sigma)
        for name in trained:
            for norm in self._norms[name]:
                if norm.lag is not None:
                    total, norm.lag = total + norm.lag, None
        return total, losses

    @contextmanager
    def training(self) -> Iterator[None]:
        """Put networks into training mode, in which running statistics follow the batch and units drop out."""
        for module in self._modules.values():
            module.train()
        try:
            yield
        finally:
            for module in self._modules.values():
                module.eval()

    def gradients(
        self, trained: Groups, frozen: Groups, batch: Batch, lam: Tensor, sigma: Tensor
    ) -> tuple[Groups, Losses]:
        """Return gradients of the `trained` groups, with the parameters of `frozen` held still, and the losses."""
        return gradients_at(trained, lambda leaves: self.training_loss(leaves, frozen, batch, lam, sigma))
