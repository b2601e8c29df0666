"""Where a simulation's client notes what it has opened, to be found again whichever process speaks for it next."""

from pathlib import Path


class FileLedger:
    """Notes in a file, one a line.

    Args:
        path: of the file, made with the first note.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        """What is noted; None: nothing."""
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            if line.startswith(f"{name} "):
                return line.partition(" ")[2]
        return None

    def __setitem__(self, name: str, text: str) -> None:
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a") as file:
            file.write(f"{name} {text}\n")
