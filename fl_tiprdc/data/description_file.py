"""A description as JSON: what a client's disk and a released extractor's card say of x and the private labels."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fl_tiprdc.data.crowd import Description
from fl_tiprdc.errors import InputError

_ADAPTER = TypeAdapter(Description)


def write_description(path: Path, description: Description) -> None:
    """Write a description, every field of it."""
    path.write_bytes(_ADAPTER.dump_json(description))


def read_description(path: Path) -> Description:
    """A description as `write_description` writes it.

    Raises:
        InputError: the file is missing, or no description.
    """
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read description '{path}': {error.strerror}") from None
    except ValidationError:
        raise InputError(f"'{path}' is no description of records") from None
