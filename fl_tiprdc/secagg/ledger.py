"""Notes of what a simulation's client has opened, which every process that works for this client finds."""

from pathlib import Path


class FileLedger:
    """Keeps notes in a file, one a line.

    Args:
        path: path of the file, which is made with the first note.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        """Return the text noted under a name; None: there is none."""
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            if line.startswith(f"{name} "):
                return line.partition(" ")[2]
        return None

    def __setitem__(self, name: str, text: str) -> None:
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a") as file:
            file.write(f"{name} {text}\n")
