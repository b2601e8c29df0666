"""Points at which clients' records are coded, kept in memory from one question of a code fit to the next."""

from collections.abc import Callable

from fl_tiprdc.data.crowd import Floats

MOST_BYTES = 2**26  # of half a million records of 32 numbers; the points of others are made anew


class KeptPoints:
    """Keeps the points that one extractor gives clients' records, as far as there is room for them, for one thread.

    Args:
        most: bytes of memory that they may take.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._made_by: tuple[str, ...] = ()
        self._points: dict[int, Floats] = {}
        self._most = self._room = most

    def of(self, partition: int, made_by: tuple[str, ...], make: Callable[[], Floats]) -> Floats:
        """Return the points [n, d] of a client's records.

        Args:
            partition: number of the client.
            made_by: what tells an extractor from others; all that another one has given is forgotten.
            make: makes the points where they aren't here.
        """
        if made_by != self._made_by:
            self._made_by, self._points, self._room = made_by, {}, self._most
        points = self._points.get(partition)
        if points is None:
            points = make()
            if points.nbytes <= self._room:
                self._points[partition] = points
                self._room -= points.nbytes
        return points
