"""A plain loop over clients, written again with autograd and torch.optim: what every runtime must equal.

Shares with the library the formulas of the losses (tested on their own), the dealing of records and the seeds; not
the hybrid step, the mapping over clients, the padding, the optimiser, the messages or the aggregation.
"""

from collections.abc import Mapping

import numpy as np
import torch

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Description, Records
from fl_tiprdc.hybrid.batches import deal
from fl_tiprdc.hybrid.bounds import INFORMATION
from fl_tiprdc.hybrid.cohort import EPSILON
from fl_tiprdc.hybrid.privacy import PRIVACY, balance, balanced_cross_entropy
from fl_tiprdc.models.channel import release
from fl_tiprdc.models.tabular import build_networks
from fl_tiprdc.seeding import numpy_generator, torch_generator

Arrays = dict[str, dict[str, np.ndarray]]


class Reference:
    """Federated training of one (method, λ, seed) over clients with the given records."""

    def __init__(
        self, experiment: Experiment, description: Description, method: str, lam: float, seed: int, start: Arrays
    ) -> None:
        self.experiment, self.description, self.lam, self.seed = experiment, description, lam, seed
        self.method = experiment.method_config(method)
        self.critic, self.bound = INFORMATION[self.method.information]
        self.arrays = {name: {k: v.copy() for k, v in group.items()} for name, group in start.items()}

    def networks(self) -> dict[str, torch.nn.Module]:
        networks = build_networks(self.description, self.experiment.network, self.critic, 0)
        for name, network in networks.items():
            network.load_state_dict({k: torch.tensor(v) for k, v in self.arrays[name].items()})
        return networks

    def objectives(self, networks: Mapping[str, torch.nn.Module], x, u, noise) -> dict[str, torch.Tensor]:
        mask = torch.ones(len(x))
        one_hot = torch.cat(
            [torch.nn.functional.one_hot(u[:, a], k).float() for a, k in enumerate(self.description.classes)], 1
        )
        z = networks["extractor"](x)
        if self.method.channel:
            z = release(z, noise, self.method.sigma(self.lam))
        information = self.bound(networks["critic"](x, z, one_hot), x, one_hot, mask, self.description)
        privacy = PRIVACY[self.method.privacy](networks["adversary"](z), u, mask, self.description)
        adversary = balanced_cross_entropy(networks["adversary"](z.detach()), u, mask, self.description)
        return {
            "extractor": self.lam * privacy - (1 - self.lam) * information,
            "critic": -information,
            "adversary": adversary,
        }

    def client(self, records: Records, partition: int, exchange: int, phase: str) -> Arrays:
        """One client's new parameters, or its gradient of the adversary."""
        federation = self.experiment.federation
        networks = self.networks()
        x, u = torch.tensor(records.x), torch.tensor(records.private)
        d = self.experiment.network.representation
        noise = torch_generator(self.seed, "channel", partition, exchange)
        order = numpy_generator(self.seed, "batches", partition, exchange)

        def gradients(rows: np.ndarray, names: tuple[str, ...]) -> dict[str, list[torch.Tensor]]:
            drawn = torch.randn(len(rows), d, generator=noise)
            losses = self.objectives(networks, x[rows], u[rows], drawn)
            return {
                name: list(torch.autograd.grad(losses[name], list(networks[name].parameters()), retain_graph=True))
                for name in names
            }

        if phase == "adversary-gradient":
            size = federation.adversary_records or len(records)
            found = gradients(deal(len(records), size, 1, order)[0], ("adversary",))["adversary"]
            return {"adversary": dict(zip(self.arrays["adversary"], (g.numpy() for g in found), strict=True))}
        names = ("extractor", "critic", "adversary") if phase == "hybrid" else ("extractor", "critic")
        optimisers = {
            name: torch.optim.Adam(
                networks[name].parameters(), lr=self.rate, weight_decay=federation.weight_decay, eps=EPSILON
            )
            for name in names
        }
        batches = federation.local_epochs * -(-len(records) // federation.batch_size)
        for rows in deal(len(records), federation.batch_size, batches, order):
            found = gradients(rows, names)
            for name in names:
                for parameter, gradient in zip(networks[name].parameters(), found[name], strict=True):
                    parameter.grad = gradient
                optimisers[name].step()
        after = {name: {k: v.detach().numpy() for k, v in networks[name].state_dict().items()} for name in names}
        if "adversary" in after:
            weight = balance(records.private, self.description)
            for key, start in self.arrays["adversary"].items():
                after["adversary"][key] = start + weight * (after["adversary"][key] - start)
        return after

    def train(self, clients: list[Records]) -> Arrays:
        """All rounds; clients without a record say nothing."""
        federation = self.experiment.federation
        server = {key: torch.tensor(value) for key, value in self.arrays["adversary"].items()}
        adam = torch.optim.Adam(server.values(), lr=federation.adversary_learning_rate)
        velocity: dict[tuple[str, str], np.ndarray] = {}
        exchange = 0
        for number in range(federation.rounds):
            left = 1 - number / federation.rounds
            decays = federation.decay and not self.method.joint
            self.rate = federation.learning_rate * (min(1.0, left / federation.decay) if decays else 1.0)
            phases = ["hybrid"] if self.method.joint else ["adversary-gradient"] * federation.adversary_exchanges
            for phase in [*phases, *([] if self.method.joint else ["extractor"])]:
                exchange += 1
                busy = [(i, records) for i, records in enumerate(clients) if len(records)]
                replies = [self.client(records, i, exchange, phase) for i, records in busy]
                weights = np.array([len(records) for _, records in busy]) / sum(len(r) for _, r in busy)
                for name in replies[0]:
                    mean = {
                        key: sum(w * reply[name][key] for w, reply in zip(weights, replies, strict=True))
                        for key in replies[0][name]
                    }
                    if phase == "adversary-gradient":
                        for key, parameter in server.items():
                            parameter.grad = torch.tensor(mean[key], dtype=torch.float32)
                        adam.step()
                        mean = {key: parameter.numpy().copy() for key, parameter in server.items()}
                    if phase != "adversary-gradient" and name != "adversary":
                        for key, value in mean.items():
                            last = velocity.get((name, key), np.zeros_like(value))
                            velocity[name, key] = federation.server_momentum * last + value - self.arrays[name][key]
                            mean[key] = self.arrays[name][key] + velocity[name, key]
                    self.arrays[name] = {key: value.astype(np.float32) for key, value in mean.items()}
        return self.arrays
