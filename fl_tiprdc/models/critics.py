"""Critics: networks whose output a bound on I(x; z | u) is made of. All are called with (x, z, u)."""

import torch
from torch import Tensor, nn


class TowerCritic(nn.Module):
    """Separable critic: T(x, z, u) = f(x) · g(z, u) / √h, so that all pairs of a batch cost one product.

    Args:
        f: from x to [b, h].
        g: from z and u side by side to [b, h].
    """

    def __init__(self, f: nn.Module, g: nn.Module) -> None:
        super().__init__()
        self.f, self.g = f, g

    def forward(self, x: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return scores [b, b]: row i, column j is T(x_j, z_i, u_i). Shapes: x [b, ...], z [b, d], u one-hot [b, K]."""
        f, g = self.f(x), self.g(torch.cat([z, u], dim=-1))
        scores: Tensor = g @ f.transpose(-1, -2) / f.shape[-1] ** 0.5
        return scores


class DecoderCritic(nn.Module):
    """Parameters of a model q(x | z, u) of the record.

    Args:
        decoder: from z and u side by side to those parameters; see `hybrid.bounds.reconstruction` for their shapes.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return the parameters [b, ...]; x has no effect, as all critics have one interface."""
        scores: Tensor = self.decoder(torch.cat([z, u], dim=-1))
        return scores


class JointCritic(nn.Module):
    """Score pairs as the paper's critic does: x and z meet inside, so that every pair costs a pass.

    Args:
        stem: from x to the shape of z before flattening.
        shape: that shape.
        body: shared by stem(x) and z, to [b, h]; called once with both, one after the other.
        head: from both and u side by side, [b, 2h + K], to a score [b, 1].
    """

    def __init__(self, stem: nn.Module, shape: tuple[int, ...], body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.stem, self.body, self.head, self._shape = stem, body, head, shape

    def forward(self, x: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return scores [b] of the pairs (x_i, z_i, u_i)."""
        both = torch.cat([self.stem(x), z.reshape(-1, *self._shape)])
        from_x, from_z = self.body(both).chunk(2)
        scores: Tensor = self.head(torch.cat([from_x, from_z, u], dim=-1))[:, 0]
        return scores
