"""The exception for input that a person can correct, and the one for work elsewhere that failed."""

from collections.abc import Collection, Iterable, Mapping, Sequence


class InputError(ValueError):
    """Say that a value from outside is wrong; the message is one line: what is wrong and what is allowed."""


class TooFewPeopleError(InputError):
    """Say that a crowd is too small for what is asked of it."""


class RunFailedError(RuntimeError):
    """Say that a process or a run that this one only watches has failed; the message is one line."""


class TooManyFailuresError(RuntimeError):
    """Say that more clients failed in an exchange than the experiment allows."""


def require_known(kind: str, names: Iterable[str], allowed: Collection[str]) -> None:
    """Check that all `names` of some `kind` are among those `allowed`.

    Raises:
        InputError: naming the first that isn't, and those that are.
    """
    for name in names:
        if name not in allowed:
            raise choose(kind, name, allowed)


def require_once(kind: str, names: Sequence[str]) -> None:
    """Check that no name of some `kind` is there twice.

    Raises:
        InputError: one is.
    """
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)}: has a {kind} twice")


def selection(
    kind: str, names: Sequence[str], registry: Collection[str], whole: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return names of a registry, checked; a name of `whole`, alone, stands for what it maps to.

    Raises:
        InputError: unknown name, one twice, or one of `whole` beside others.
    """
    require_known(kind, names, (*registry, *whole))
    for name in whole:
        if name in names and len(names) > 1:
            raise InputError(f"{kind} '{name}' stands alone, and not among {', '.join(names)}")
    if len(set(names)) < len(names):
        raise InputError(f"{kind}s have a value twice: {', '.join(names)}")
    return whole[names[0]] if names and names[0] in whole else tuple(names)


def choose(kind: str, name: str, allowed: object) -> InputError:
    """Return an InputError for an unknown `name` of some `kind`, listing the `allowed` names."""
    return InputError(f"unknown {kind} '{name}': choose one of {', '.join(map(str, allowed))}")  # type: ignore[call-overload]
