"""Runs of the server's code on a grid, and of several trainings in turn."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp

T = TypeVar("T")
Server = Callable[[Grid], Any]
Tell = Callable[[int], None]  # called with the number of a training's exchanges that are done


def serve_on(grid: Grid, server: Server) -> Any:
    """Run `server` as a Flower ServerApp on one of the project's grids, and return its result."""
    results: list[Any] = []
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        results.append(server(grid))

    app(grid, Context(1, 1, {}, RecordDict(), {}))
    return results[0]


def one_after_the_other(grid: Grid, servers: Sequence[Callable[[Grid, Tell], T]], tell: Tell) -> list[T]:
    """Run trainings over the same clients, and return their results; `tell` is called with their exchanges' number."""
    counts = [0] * len(servers)

    def teller(i: int) -> Tell:
        def note(done: int) -> None:
            counts[i] = done
            tell(sum(counts))

        return note

    return [server(grid, teller(i)) for i, server in enumerate(servers)]


def share_of(gpus: float, processes: int) -> float:
    """Return the share of all GPUs that each of the processes asks for."""
    return round(gpus / processes - 5e-4, 3) if gpus else 0.0
