"""How far trainings in several processes are. It imports nothing: its own process is a small one."""


class Progress:
    """How many exchanges of each training are done; lives in a process of its own."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}

    def note(self, training: int, done: int) -> None:
        """That so many exchanges of this training are done."""
        self._done[training] = done

    def all(self) -> int:
        """Exchanges that are done, of all trainings together."""
        return sum(self._done.values())
