"""The one exception for input that a person can correct."""


class InputError(ValueError):
    """A value from outside is wrong; the message is one line: what is wrong and what is allowed."""


def choose(kind: str, name: str, allowed: object) -> InputError:
    """An InputError for an unknown `name` of some `kind`, listing the `allowed` names."""
    return InputError(f"unknown {kind} '{name}': choose one of {', '.join(map(str, allowed))}")  # type: ignore[call-overload]
