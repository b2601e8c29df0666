"""File names made of what people call their columns, methods and tables."""

import hashlib
import re

LONGEST = 80  # letters of a name; files add more to it, and systems allow 255 bytes


def file_name(text: str) -> str:
    """Return `text` as a file name: the same if it can be one, else its letters and what tells it from others."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)
    if plain == text and len(plain) <= LONGEST and plain.strip("."):
        return plain
    return f"{plain[:LONGEST].strip('.')}-{digest(text)}"


def digest(text: str) -> str:
    """Return eight letters that tell a text from others."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
