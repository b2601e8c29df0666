"""Progress of trainings in several processes; the module imports nothing, so that its process stays small."""


class Progress:
    """Counts the exchanges of each training that are done, in a process of its own."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}

    def note(self, training: int, done: int) -> None:
        """Note how many exchanges of a training are done."""
        self._done[training] = done

    def all(self) -> int:
        """Return how many exchanges of all trainings are done."""
        return sum(self._done.values())
