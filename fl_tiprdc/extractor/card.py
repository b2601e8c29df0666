"""A released extractor on disk: its arrays, and beside them a card in JSON with all that is needed to use them.

extractor.safetensors has the arrays, extractor.json the card; neither has a record, and neither is a pickle.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fl_tiprdc import __version__
from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description
from fl_tiprdc.errors import InputError
from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.release.arrays import Arrays
from fl_tiprdc.whole_file import write_whole

ARRAYS, CARD = "extractor.safetensors", "extractor.json"


class Card(BaseModel):
    """Describe a released extractor.

    The description has statistics of the contributors by which x is encoded (means, medians, categories) and the
    shares of the private classes; both are known to everybody who takes part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = Field(1, description="of this file")
    version: str = Field(__version__, description="of fl-tiprdc, that wrote it")
    dataset: str = Field("", description="data set that it was trained on")
    setting: str = Field("centralized", description="federated or centralized training")
    method: str = Field("tiprdc+", description="name of the method")
    lam: float = Field(ge=0, le=1, description="λ: weight of privacy against information")
    seed: int = Field(0, description="of the experiment")
    sigma: float = Field(ge=0, description="standard deviation of the channel's noise; 0: none")
    method_config: MethodConfig = Field(description="settings of the method")
    network: NetworkConfig = Field(description="settings of the networks")
    description: Description = Field(description="meaning of x and of the private labels")
    sha256: str = Field("", description="of the arrays' file")


def write_extractor(folder: Path, card: Card, groups: Mapping[str, Arrays]) -> None:
    """Write both files into a folder, made if need be; the card last.

    Args:
        folder: where the files go.
        card: description of the extractor.
        groups: arrays of the "extractor", and of "codes" where it has them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        name if group == "extractor" else f"{group}/{name}": np.asarray(array, order="C")  # a number stays one
        for group, arrays in groups.items()
        for name, array in arrays.items()
    }
    data = save(named)
    write_whole(folder / ARRAYS, data)
    whole = card.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    write_whole(folder / CARD, (whole.model_dump_json(indent=1) + "\n").encode())


def read_extractor(path: Path) -> tuple[Card, dict[str, dict[str, npt.NDArray[np.float32]]]]:
    """Return the card and the arrays by group, from their folder or the path of one of them.

    Raises:
        InputError: a file is missing, is not what it should be, or the arrays aren't the ones of the card.
    """
    folder = path.parent if path.name in (ARRAYS, CARD) else path
    try:
        text, data = (folder / CARD).read_text(encoding="utf-8"), (folder / ARRAYS).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read extractor '{error.filename}': {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"'{folder / CARD}' is no card of an extractor") from None
    try:
        card = Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"'{folder / CARD}' is no card of an extractor: {where or 'all of it'}: {first['msg']}"
        ) from None
    if not math.isclose(card.sigma, card.method_config.sigma(card.lam), rel_tol=1e-6):
        raise InputError(f"'{folder / CARD}' has noise of {card.sigma:g} that its method and λ don't give")
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise InputError(f"'{folder / ARRAYS}' is not the file that its card was written with: its SHA-256 differs")
    try:
        groups: dict[str, dict[str, npt.NDArray[np.float32]]] = {"extractor": {}}
        for name, array in load(data).items():
            group, _, key = name.rpartition("/")
            groups.setdefault(group or "extractor", {})[key] = array
        return card, groups
    except (SafetensorError, ValueError) as error:
        raise InputError(f"'{folder / ARRAYS}' has no arrays: {error}") from None
