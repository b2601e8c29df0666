"""A plain loop over clients, written again with autograd and torch.optim: what every runtime must equal.

Shares with the library the formulas of the losses (tested on their own), the dealing of records and the seeds; not
the hybrid step, the mapping over clients, the padding, the optimizer, the messages or the aggregation.
"""

from collections.abc import Mapping

import numpy as np
import torch

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Description, Records
from fl_tiprdc.hybrid.batches import shuffled_batches
from fl_tiprdc.hybrid.bounds import INFORMATION
from fl_tiprdc.hybrid.cohort import EPSILON
from fl_tiprdc.hybrid.privacy import PRIVACY, balance, balanced_cross_entropy
from fl_tiprdc.models.networks import build_networks
from fl_tiprdc.release.channel import release
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

        names = ("adversary",) if phase == "adversary-gradient" else ("extractor", "critic", "adversary")
        if phase != "local-training":
            found = gradients(
                shuffled_batches(len(records), federation.gradient_records or len(records), 1, order)[0], names
            )
            return {name: dict(zip(self.arrays[name], (g.numpy() for g in found[name]), strict=True)) for name in names}
        optimizers = {
            name: torch.optim.Adam(
                networks[name].parameters(),
                lr=federation.learning_rate,
                betas=(self.method.beta1, 0.999),
                weight_decay=federation.weight_decay,
                eps=EPSILON,
            )
            for name in names
        }
        batches = federation.local_epochs * -(-len(records) // federation.batch_size)
        for number, rows in enumerate(shuffled_batches(len(records), federation.batch_size, batches, order)):
            alone = number % (self.method.adversary_steps + 1) < self.method.adversary_steps
            learning = ("adversary",) if alone else names
            found = gradients(rows, learning)
            for name in learning:
                for parameter, gradient in zip(networks[name].parameters(), found[name], strict=True):
                    parameter.grad = gradient
                optimizers[name].step()
        after = {name: {k: v.detach().numpy() for k, v in networks[name].state_dict().items()} for name in names}
        weight = balance(records.private, self.description)
        for key, start in self.arrays["adversary"].items():
            after["adversary"][key] = start + weight * (after["adversary"][key] - start)
        return after

    def train(self, clients: list[Records]) -> Arrays:
        """All rounds; clients without a record say nothing."""
        federation, method = self.experiment.federation, self.method
        server = {name: {k: torch.tensor(v) for k, v in group.items()} for name, group in self.arrays.items()}
        adam = {
            name: torch.optim.Adam(
                group.values(), lr=federation.server_learning_rate, betas=(method.beta1, 0.999), eps=EPSILON
            )
            for name, group in server.items()
        }
        updates = federation.rounds * federation.updates_per_round
        phases = []
        for number in range(updates):
            closing = number > updates * (1 - method.decay) if method.decay else False
            phases += ["adversary-gradient"] * (method.adversary_steps + closing * method.closing_steps)
            phases.append("hybrid-gradient")
        local = method.exchange == "weights"
        done = 0
        for exchange, phase in enumerate(["local-training"] * federation.rounds if local else phases, 1):
            asked = self.asked(clients, 0 if local else federation.gradient_clients, exchange)
            replies = [self.client(clients[i], i, exchange, phase) for i in asked]
            weights = np.array(list(asked.values())) / sum(asked.values())
            for name in replies[0]:
                mean = {
                    key: sum(w * reply[name][key] for w, reply in zip(weights, replies, strict=True))
                    for key in replies[0][name]
                }
                if phase != "local-training":
                    for key, parameter in server[name].items():
                        parameter.grad = torch.tensor(mean[key], dtype=torch.float32)
                    if name == "extractor" and method.decay:
                        left = 1 - done / updates
                        adam[name].param_groups[0]["lr"] = federation.server_learning_rate * min(1, left / method.decay)
                    adam[name].step()
                    mean = {key: parameter.numpy().copy() for key, parameter in server[name].items()}
                self.arrays[name] = {key: np.asarray(value, dtype=np.float32) for key, value in mean.items()}
            done += phase == "hybrid-gradient"
        return self.arrays

    def asked(self, clients: list[Records], draws: int, exchange: int) -> dict[int, int]:
        """Client -> weight: all by their records, or draws in proportion to records."""
        if not 0 < draws < len(clients):
            return {i: len(records) for i, records in enumerate(clients) if len(records)}
        generator = numpy_generator(self.seed, "sample-clients", exchange)
        order, found = generator.permutation(len(clients)), dict[int, int]()
        total, before = sum(map(len, clients)), 0
        start = generator.random()
        for i in order:
            after = before + len(clients[i])
            times = int(np.floor(after * draws / total + start) - np.floor(before * draws / total + start))
            if times:
                found[int(i)] = times
            before = after
        return dict(sorted(found.items()))
