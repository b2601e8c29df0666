"""The reconstruction attack: how much of the raw record comes back from a release.

An attacker who has pairs of released representation and raw record, here the contributors', trains a decoder. It is
scored on people who contributed nothing, beside the best answer that doesn't look at the release at all. Images: a
convolutional decoder trained on 1 - MS-SSIM, as in the paper (Li et al., KDD 2020, section 4). Tables: the better
of a ridge regression and a perceptron. Texts: a perceptron with a softmax for each place.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import PADDING, Crowd, Description, Floats, Ints, X
from fl_tiprdc.data.lazy_images import Pixels
from fl_tiprdc.evaluation.audit import AuditedRelease
from fl_tiprdc.evaluation.image_decoder import ConstantImage, ImageDecoder
from fl_tiprdc.evaluation.image_similarity import ms_ssim, similarities
from fl_tiprdc.evaluation.metric_rows import MetricRow, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import Score, Values, Weights, interval, resample
from fl_tiprdc.models.perceptron import perceptron
from fl_tiprdc.models.trainer import Validation, train_network
from fl_tiprdc.seeding import derive, layer_draws, numpy_generator

DECODER, CONSTANT = "decoder", "constant"  # models in metrics.csv; constant is the level of chance
EXAMPLES = 8  # held-out people whose images are kept for the figure
SCORED = 1000  # held-out records that are scored, at most: a scoring of images costs more than one of labels
VALIDATION = 0.1  # share of the attacker's records that choose when to stop
VALIDATED = 256  # of these, at most
MOST_OUTPUTS = 50_000  # places x vocabulary of a text; beyond, there is no attack
PIXELS = 3 * 2**15  # of a batch, so that a step takes the same time at any size
CONSTANT_STEPS = 100  # updates of the best constant image, which needs few
CANDIDATES = 16  # contributors' images from which it may start
FLOOR = 1e-3  # of a scale's similarity in training

Loss = Callable[[Tensor, Ints], Tensor]  # of a network's answers for these records


@dataclass(frozen=True)
class Examples:
    """Images of the first held-out people and what came back of them.

    Attributes:
        originals: [k, C, H, W] uint8, k up to `EXAMPLES`.
        constant: [C, H, W] uint8, the best constant image.
        reconstructions: [k, C, H, W] uint8.
        similarity: MS-SSIM of the reconstructions of all held-out people, mean.
        chance: MS-SSIM of the constant image, mean.
    """

    originals: Pixels
    constant: Pixels
    reconstructions: Pixels
    similarity: float
    chance: float


@dataclass(frozen=True)
class Reconstruction:
    """Hold what the attack found.

    Attributes:
        metrics: rows of metrics.csv: kind "reconstruction", target "x", models "decoder" and "constant".
        examples: images only.
    """

    metrics: pd.DataFrame
    examples: Examples | None = None


@dataclass(frozen=True)
class _Attack:
    """Hold what the attacker has and what it is tested on.

    Attributes:
        z: [n, d] float32, standardized.
        x: raw records that the rows below point into.
        rows: [n] int64.
        tested_z: [m, d].
        tested_x: raw held-out records.
        tested_rows: [m] int64.
        weights: [1 + resamples, m].
        steps: of training.
        seed: of weights and batches.
    """

    description: Description
    z: Tensor
    x: X
    rows: Ints
    tested_z: Tensor
    tested_x: X
    tested_rows: Ints
    weights: Weights
    steps: int
    seed: int


Scores = Mapping[str, Mapping[str, Score]]  # model -> metric -> score


@dataclass(frozen=True)
class _Constant:
    """Answer without a look at the release: [C, H, W] the mean image and the best one."""

    mean: Tensor
    image: Tensor
    scores: Mapping[str, Score]


class Constants:
    """Best constant images, each found once: releases of the same people and seed have the same one."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, bytes, bytes], _Constant] = {}
        self._lock = threading.Lock()

    def of(self, attack: _Attack, find: Callable[[], _Constant]) -> _Constant:
        """Return the constant of an attack, by `find` unless it is there already; other threads wait for it."""
        key = attack.seed, attack.rows.tobytes(), attack.tested_rows.tobytes()
        with self._lock:
            if key not in self._found:
                self._found[key] = find()
            return self._found[key]


def is_wanted(config: AuditConfig, description: Description) -> bool:
    """Tell whether records of this kind are attacked: "auto" means images."""
    return config.reconstruct == "always" or (config.reconstruct == "auto" and description.modality == "image")


def reconstruct(
    release: AuditedRelease,
    contributors: Crowd,
    held_out: Crowd,
    config: AuditConfig,
    rows: Ints | None = None,
    constants: Constants | None = None,
) -> Reconstruction:
    """Train decoders on contributors, test them on held-out people.

    The attacker learns from the same people whatever the release and its order, so that releases can be compared.

    Args:
        release: the representations.
        contributors: raw records of the contributors; only the batch at hand is ever held as float32.
        held_out: raw records of the held-out people, in the release's order.
        config: records, steps and resamples.
        rows: positions in `contributors` of the release's rows; None: all in order.
        constants: of other attacks on the same crowds with the same config, and then of this one; None: of none.

    Returns:
        Metrics, all higher where more comes back, with 95 % bootstrap intervals over people. Images: "ms-ssim",
        "ssim" (both at most 1) and "psnr" (decibels); the constant is the better of the contributors' mean image
        and one image trained on the decoder's loss, metric by metric. Tables: "explained", 1 - squared error over
        that of the contributors' mean; 0 for the constant. Texts: "token-accuracy" over tokens that are not
        padding, beside the most frequent token of each place; no rows if places x vocabulary is above
        `MOST_OUTPUTS`.
    """
    order = numpy_generator(release.seed, "reconstruction-records").permutation(len(contributors))
    position = np.full(len(contributors), -1)
    position[np.arange(len(contributors)) if rows is None else rows] = np.arange(len(release.contributors))
    chosen = order[position[order] >= 0][: config.reconstruction_records]
    tested = np.sort(numpy_generator(release.seed, "reconstruction-held-out").permutation(len(held_out))[:SCORED])
    z = release.contributors[position[chosen]].astype(np.float32)
    mean, std = z.mean(0), z.std(0)
    std = np.where(std < 1e-6, 1, std)  # constant here, perhaps not in the test records

    def scaled(values: Floats) -> Tensor:
        return torch.from_numpy(((values - mean) / std).astype(np.float32))

    attack = _Attack(
        contributors.description,
        scaled(z),
        contributors.x,
        chosen,
        scaled(release.held_out[tested]),
        held_out.x,
        tested,
        resample(held_out.participant[tested], config.bootstrap, 0),
        config.reconstruction_steps,
        derive(release.seed, "reconstruction"),
    )
    modality = attack.description.modality
    if modality == "image":
        firsts = np.unique(held_out.participant, return_index=True)[1]
        shown = numpy_generator(0, "shown").permutation(firsts)[:EXAMPLES]  # files are often sorted by what they show
        scores, examples = _images(attack, shown, scaled(release.held_out[shown]), constants or Constants())
        return Reconstruction(_table(release, scores), examples)
    return Reconstruction(_table(release, _tables(attack) if modality == "table" else _texts(attack)))


def _table(release: AuditedRelease, scores: Scores) -> pd.DataFrame:
    rows: list[MetricRow] = []
    for model, metrics in scores.items():
        rows += metric_rows(release.point, "reconstruction", "x", model, metrics)
    return metrics_table(rows)


def _share(weights: Weights, above: Values, below: Values) -> Values:
    """Return Σ above / Σ below for each resample: [b, m], [m], [m] -> [b]."""
    total: Values = (weights @ above) / np.maximum(weights @ below, 1e-12)
    return total


# ---- training, the same for all modalities


def _built(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with layer_draws(derive(seed, "decoder-weights")):
        return build()


def _train(network: nn.Module, loss: Loss, attack: _Attack, batch: int, rate: float) -> None:
    """Train on the attacker's records and keep the weights that do best on the validation part.

    Args:
        network: from z [n, d] to answers.
        loss: of answers and positions among the attacker's records, the mean.
        attack: the attack.
        batch: records in a batch.
        rate: AdamW's largest step size; it falls to 0 along a cosine.
    """
    generator = numpy_generator(attack.seed, "decoder-batches")
    shuffled = generator.permutation(len(attack.z))
    cut = max(1, int(VALIDATION * len(shuffled)))
    validation, training = shuffled[: min(cut, VALIDATED)], shuffled[cut:]
    if not len(training):
        return
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, attack.steps)

    def validation_loss() -> float:
        losses = [float(loss(network(attack.z[part]), part)) * len(part) for part in _parts(validation, batch)]
        return sum(losses) / len(validation)

    def batches() -> Iterator[Ints]:
        while True:
            yield from _parts(generator.permutation(training), batch)

    after = {*range(0, attack.steps, max(1, attack.steps // 10)), attack.steps}
    train_network(
        network,
        optimizer,
        islice(batches(), attack.steps),
        lambda rows: loss(network(attack.z[rows]), rows),
        schedule,
        Validation(validation_loss, after),
    )


def _parts(rows: Ints, size: int) -> Iterator[Ints]:
    return (rows[begin : begin + size] for begin in range(0, len(rows), size))


# ---- images


def _pixels(x: X, rows: Ints) -> Tensor:
    """Return one batch of images [n, C, H, W], values 0 to 1."""
    return torch.from_numpy(np.asarray(x[rows], dtype=np.float32) / np.float32(255))


def _images(attack: _Attack, shown: Ints, shown_z: Tensor, constants: Constants) -> tuple[Scores, Examples]:
    channels, height, width = attack.description.shape
    batch = int(np.clip(PIXELS // (height * width), 8, 48))

    def loss(answers: Tensor, rows: Ints) -> Tensor:
        return 1 - ms_ssim(answers, _pixels(attack.x, attack.rows[rows]), FLOOR).mean()

    constant = constants.of(attack, lambda: _best_constant(attack, loss, batch))
    decoder = _built(lambda: ImageDecoder(attack.z.shape[1], (channels, height, width), constant.mean), attack.seed)
    _train(decoder, loss, attack, batch, 3e-3)
    scores = {CONSTANT: constant.scores, DECODER: _similar(attack, decoder, batch)}
    with torch.no_grad():
        answers = _bytes(decoder(shown_z))
    return scores, Examples(
        np.asarray(attack.tested_x[shown]),
        _bytes(constant.image),
        answers,
        scores[DECODER]["ms-ssim"].value,
        scores[CONSTANT]["ms-ssim"].value,
    )


def _similar(attack: _Attack, answer: Callable[[Tensor], Tensor], batch: int) -> dict[str, Score]:
    """Score how similar answers to the tested representations are to the images themselves, by metric."""
    pieces: list[Mapping[str, Tensor]] = []
    with torch.no_grad():
        for places in _parts(np.arange(len(attack.tested_rows)), batch):
            originals = _pixels(attack.tested_x, attack.tested_rows[places])
            pieces.append(similarities(answer(attack.tested_z[places]).expand_as(originals), originals))
    scores: dict[str, Score] = {}
    for metric in pieces[0]:
        values = torch.cat([part[metric] for part in pieces]).numpy().astype(np.float64)
        scores[metric] = interval(_share(attack.weights, values, np.ones(len(values))))
    return scores


def _best_constant(attack: _Attack, loss: Loss, batch: int) -> _Constant:
    """Return the better of the mean image and one that is trained, metric by metric."""
    total = torch.zeros(attack.description.shape)
    for part in _parts(attack.rows, batch):
        total += _pixels(attack.x, part).sum(0)
    mean = (total / len(attack.rows)).clamp(0.002, 0.998)  # a sigmoid reaches no end
    network = ConstantImage(_typical_image(attack, mean, batch))
    _train(network, loss, replace(attack, steps=min(attack.steps, CONSTANT_STEPS)), batch, 0.2)
    of_mean, trained = _similar(attack, lambda z: mean, batch), _similar(attack, network, batch)
    with torch.no_grad():
        same = mean if of_mean["ms-ssim"].value > trained["ms-ssim"].value else network(attack.tested_z[:1])[0]
    best = {metric: max(score, of_mean[metric], key=lambda s: s.value) for metric, score in trained.items()}
    return _Constant(mean, same, best)


def _typical_image(attack: _Attack, mean: Tensor, batch: int) -> Tensor:
    """Return the image [C, H, W] to start from: halfway from the mean to the contributor who is most like others.

    From the mean alone it often ends worse, as MS-SSIM of an image without structure has hardly a slope.
    """
    candidates = _pixels(attack.x, attack.rows[:CANDIDATES])
    alike = torch.zeros(len(candidates))
    for part in _parts(attack.rows[CANDIDATES : 5 * CANDIDATES], batch):
        others = _pixels(attack.x, part)
        alike += torch.stack([ms_ssim(image.expand_as(others), others).sum() for image in candidates])
    return ((mean + candidates[alike.argmax()]) / 2).clamp(0.002, 0.998)


def _bytes(images: Tensor) -> Pixels:
    return (images * 255).round().to(torch.uint8).numpy()


# ---- tables


def _tables(attack: _Attack) -> Scores:
    from sklearn.linear_model import Ridge

    known = torch.from_numpy(np.asarray(attack.x[attack.rows], dtype=np.float32))
    tested = np.asarray(attack.tested_x[attack.tested_rows], dtype=np.float32)
    mean = known.mean(0)
    network = _built(lambda: perceptron([attack.z.shape[1], 256, 128, known.shape[1]]), attack.seed)
    _train(network, lambda answers, rows: functional.mse_loss(answers, known[rows]), attack, 256, 3e-3)
    with torch.no_grad():
        by_network = network(attack.tested_z).numpy()
    ridge = Ridge(alpha=1.0).fit(attack.z.numpy(), known.numpy())
    by_ridge = ridge.predict(attack.tested_z.numpy()).reshape(tested.shape)

    def error(answers: Floats) -> Values:
        squares: Values = np.square(tested - answers, dtype=np.float64).sum(1)
        return squares

    most = error(mean.numpy())
    explained = [interval(1 - _share(attack.weights, error(answers), most)) for answers in (by_ridge, by_network)]
    return {
        DECODER: {"explained": max(explained, key=lambda score: score.value)},
        CONSTANT: {"explained": Score(0.0, 0.0, 0.0)},
    }


# ---- texts


def _texts(attack: _Attack) -> Scores:
    (places,), vocabulary = attack.description.shape, attack.description.vocabulary
    if places * vocabulary > MOST_OUTPUTS:
        return {}
    known = torch.from_numpy(np.asarray(attack.x[attack.rows], dtype=np.int64))
    tested = np.asarray(attack.tested_x[attack.tested_rows], dtype=np.int64)
    network = _built(lambda: perceptron([attack.z.shape[1], 256, 128, places * vocabulary]), attack.seed)

    def loss(answers: Tensor, rows: Ints) -> Tensor:
        # a text's length is told by none of its tokens, so padding neither teaches nor counts
        scores = answers.view(len(rows) * places, vocabulary)
        return functional.cross_entropy(scores, known[rows].reshape(-1), ignore_index=PADDING)

    batch = int(np.clip(2**22 // (places * vocabulary), 16, 256))
    _train(network, loss, attack, batch, 3e-3)
    with torch.no_grad():
        parts = [network(z).view(len(z), places, vocabulary) for z in attack.tested_z.split(batch)]
        answers = torch.cat([_best_token(part) for part in parts]).numpy()
    counts = np.stack([np.bincount(column, minlength=vocabulary) for column in known.numpy().T])
    counts[:, PADDING] = -1
    frequent = counts.argmax(1)
    real = tested != PADDING

    def accuracy(guess: Ints) -> Score:
        right = ((guess == tested) & real).sum(1).astype(np.float64)
        return interval(_share(attack.weights, right, real.sum(1).astype(np.float64)))

    return {DECODER: {"token-accuracy": accuracy(answers)}, CONSTANT: {"token-accuracy": accuracy(frequent)}}


def _best_token(scores: Tensor) -> Tensor:
    """Return the likeliest tokens [n, places] of scores [n, places, vocabulary], never padding."""
    return scores.index_fill(2, torch.tensor([PADDING]), -torch.inf).argmax(2)
