"""The base of all settings: typed, frozen and strict."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Widths = tuple[Positive, ...]


class Frozen(BaseModel):
    """Settings that are checked once, and neither change nor hold a name that isn't theirs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, values: Any) -> Any:
        """Refuse a truth value where a number, text or list is expected."""
        for name, value in values.items() if isinstance(values, Mapping) else ():
            field = cls.model_fields.get(name) if isinstance(name, str) else None
            among = value if isinstance(value, (list, tuple)) else [value]
            if field is not None and field.annotation is not bool and any(isinstance(one, bool) for one in among):
                raise ValueError(
                    f"{name} {'has' if among is value else 'is'} a truth value: must be another kind of value"
                )
        return values
