"""What is wrong with a setting, in one line of plain words."""

from typing import Any

from pydantic import BaseModel, ValidationError

RAY_ADDRESS = r"^(auto|(ray://)?([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5})?$"
LICENSE = r"^[a-z0-9][a-z0-9.\-]*$"

IN_WORDS = {
    RAY_ADDRESS: "must be auto, HOST:PORT or ray://HOST:PORT",
    LICENSE: "must be lower-case letters, digits, dots and dashes, such as cc-by-4.0",
}
# pydantic's kinds of error in plain words
WANTED = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "dict_type": "must be a table of settings",
    "model_type": "must be a table of settings",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be above {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be below {lt:g}",
    "literal_error": "must be {expected}",
    "too_short": "must have at least {min_length} value",
}


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(text.split())


def wrong_setting(error: ValidationError, settings: type[BaseModel], named: type[BaseModel]) -> str:
    """Return one line that names the first wrong key or value of an error, and what is allowed.

    Args:
        error: pydantic's.
        settings: class that was validated.
        named: class of settings in a table of names, such as `[method.NAME]`.
    """
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        model: Any = settings
        for part in first["loc"][:-1]:
            annotation = model.model_fields[part].annotation if part in model.model_fields else named
            model = annotation if hasattr(annotation, "model_fields") else named
        return f"unknown setting '{one_line(where)}': choose from {', '.join(model.model_fields)}"
    if first["type"] == "value_error":
        tables = "".join(f"{part}." for part in first["loc"])
        return one_line(tables + first["msg"].removeprefix("Value error, "))
    wanted = WANTED.get(first["type"])
    message = wanted.format(**first.get("ctx", {})) if wanted else first["msg"]
    message = IN_WORDS.get(first.get("ctx", {}).get("pattern", ""), message)
    names = [part for part in first["loc"] if isinstance(part, str)]
    verb = "is" if len(names) == len(first["loc"]) else "has"  # a number is a place in a list
    shown = repr(first["input"])
    shown = shown if len(shown) <= 200 else f"{shown[:200]}..."
    return one_line(f"{'.'.join(names)} {verb} {shown}: {message}")
