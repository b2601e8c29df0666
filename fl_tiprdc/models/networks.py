"""Extractor, adversary and critic for a crowd: which architecture fits, and its networks with initial weights."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description
from fl_tiprdc.errors import InputError
from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.models.critics import DecoderCritic, TowerCritic
from fl_tiprdc.models.image import Pixels, image_decoder, image_trunk
from fl_tiprdc.models.lstm import build_lstm, lstm_shape
from fl_tiprdc.models.perceptron import ADVERSARIES, perceptron, table_decoder, table_trunk
from fl_tiprdc.models.text import text_decoder, text_trunk
from fl_tiprdc.models.vgg16 import build_vgg16, vgg16_shape
from fl_tiprdc.seeding import layer_draws

Trunk = Callable[[Description, NetworkConfig, Sequence[int]], tuple[list[nn.Module], int]]
Decoder = Callable[[Description, NetworkConfig, int], nn.Module]
PARTS: Mapping[str, tuple[Trunk, Decoder]] = {
    "table": (table_trunk, table_decoder),
    "image": (image_trunk, image_decoder),
    "text": (text_trunk, text_decoder),
}


def _vector_shape(description: Description, config: NetworkConfig) -> tuple[int, ...]:
    return (config.representation,)


def _build_from_parts(description: Description, config: NetworkConfig, critic: str) -> dict[str, nn.Module]:
    """Build networks whose representation is a vector: a trunk for the modality, and perceptrons on top."""
    trunk, decoder = PARTS[description.modality]
    d, u_width = config.representation, sum(description.classes)

    def on_trunk(hidden: Sequence[int], outputs: int, bias: bool = True) -> nn.Sequential:
        layers, width = trunk(description, config, hidden)
        return nn.Sequential(*layers, nn.Linear(width, outputs, bias))

    extractor = on_trunk(config.extractor_hidden, d)
    adversary = ADVERSARIES[config.adversaries](d, config.adversary_hidden, description.classes)
    if critic == "decoder":
        judge: nn.Module = DecoderCritic(decoder(description, config, d + u_width))
    else:
        # A softmax over the x of one z doesn't feel a constant added to f, which therefore ends without a bias: its
        # gradient would be rounding noise, which Adam blows up to full steps.
        f = on_trunk(config.critic_hidden, config.critic_embedding, bias=critic != "softmax-towers")
        judge = TowerCritic(f, perceptron([d + u_width, *config.critic_hidden, config.critic_embedding]))
    return {"extractor": extractor, "adversary": adversary, "critic": judge}


def _build_perceptron(description: Description, config: NetworkConfig, critic: str) -> dict[str, nn.Module]:
    """Build fully connected layers, for tables."""
    return _build_from_parts(description, config, critic)


def _build_convolutional(description: Description, config: NetworkConfig, critic: str) -> dict[str, nn.Module]:
    """Build a small convolutional trunk with fully connected layers on top, for images and texts."""
    return _build_from_parts(description, config, critic)


def _build_linear(description: Description, config: NetworkConfig, critic: str) -> dict[str, nn.Module]:
    """Networks whose extractor is one linear layer on the flattened record; the others are those of the modality."""
    inputs: list[nn.Module] = [Pixels()] if description.modality == "image" else []
    layer = nn.Linear(math.prod(description.shape), config.representation)
    return _build_from_parts(description, config, critic) | {"extractor": nn.Sequential(*inputs, nn.Flatten(), layer)}


@dataclass(frozen=True)
class Architecture:
    """Describe a family of networks.

    Attributes:
        build: from (description, config, kind of critic) to "extractor", "adversary" and "critic"; the first line of
            its docstring is its description in the catalogue.
        shape: of a representation, before it is flattened.
        modalities: that it is for.
        critics: kinds that it has.
        stacks: when many clients' networks run as one stacked program, and not one by one: always, never, or with
            small batches (a stacked convolution with weights of its own for each client is a grouped one, which is
            slow).
    """

    build: Callable[[Description, NetworkConfig, str], dict[str, nn.Module]]
    shape: Callable[[Description, NetworkConfig], tuple[int, ...]]
    modalities: tuple[str, ...]
    critics: tuple[str, ...] = ("decoder", "towers", "softmax-towers")
    stacks: Literal["always", "small batches", "never"] = "always"


ARCHITECTURES: dict[str, Architecture] = {
    "perceptron": Architecture(_build_perceptron, _vector_shape, ("table",)),
    "convolutional": Architecture(_build_convolutional, _vector_shape, ("image", "text"), stacks="small batches"),
    "linear": Architecture(_build_linear, _vector_shape, ("image", "table")),
    # dropout draws from one generator, and LSTMs have no batched kernel
    "vgg16": Architecture(build_vgg16, vgg16_shape, ("image",), ("joint",), stacks="never"),
    "lstm": Architecture(build_lstm, lstm_shape, ("text",), ("joint",), stacks="never"),
}


def architecture_for(description: Description, config: NetworkConfig) -> Architecture:
    """Return the architecture that is asked for, or the first that fits the modality.

    Raises:
        InputError: it doesn't fit the data.
    """
    fitting = [name for name, family in ARCHITECTURES.items() if description.modality in family.modalities]
    name = fitting[0] if config.architecture == "auto" else config.architecture
    if name not in fitting:
        raise InputError(
            f"network.architecture '{name}' is not for {description.modality} data: choose one of {', '.join(fitting)}"
        )
    if name == "vgg16" and min(description.shape[1:]) < 32:
        raise InputError(f"network.architecture vgg16 needs images of 32×32 or more, these are {description.shape[1:]}")
    return ARCHITECTURES[name]


def has_components(description: Description, network: NetworkConfig, method: MethodConfig) -> bool:
    """Say whether a method's extractor is principal components, and not trained."""
    if method.coding is None or method.coding.extractor == "trained":
        return False
    return method.coding.extractor == "components" or (
        description.modality == "image" and network.architecture == "auto"
    )


def network_for(description: Description, network: NetworkConfig, method: MethodConfig) -> NetworkConfig:
    """Return the network's settings as a method uses them: principal components are one linear layer."""
    if has_components(description, network, method):
        return network.model_copy(update={"architecture": "linear"})
    return network


def representation_shape(description: Description, config: NetworkConfig) -> tuple[int, ...]:
    """Return a representation's shape before it is flattened: (d,), (channels, height, width) or (places, width)."""
    return architecture_for(description, config).shape(description, config)


def representation_width(description: Description, config: NetworkConfig) -> int:
    """Return the number of numbers in a representation, d."""
    return math.prod(representation_shape(description, config))


def build_networks(description: Description, config: NetworkConfig, critic: str, seed: int) -> dict[str, nn.Module]:
    """Return extractor, adversary and critic with initial weights that depend on `seed` alone.

    Args:
        description: shape of x and classes of the private attributes.
        config: architecture and layer widths.
        critic: decoder, towers, softmax-towers or joint.
        seed: for the initial weights.

    Returns:
        "extractor" [n, *shape] -> [n, d]; "adversary" [n, d] -> [n, sum of classes]; "critic".

    Raises:
        InputError: the architecture doesn't fit the data, or has no such critic.
    """
    architecture = architecture_for(description, config)
    if critic not in architecture.critics:
        raise InputError(
            f"network.architecture '{config.architecture}' has critics {', '.join(architecture.critics)}, "
            f"the method's information bound needs {critic}"
        )
    with layer_draws(seed):
        return architecture.build(description, config, critic)
