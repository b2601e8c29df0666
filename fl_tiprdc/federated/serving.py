"""Running the server's code on a grid, and several trainings in turn."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp

T = TypeVar("T")
Server = Callable[[Grid], Any]
Tell = Callable[[int], None]  # told how many exchanges of a training are done


def serve_on(grid: Grid, server: Server) -> Any:
    """Run `server` as a Flower ServerApp on a grid of our own."""
    results: list[Any] = []
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        results.append(server(grid))

    app(grid, Context(1, 1, {}, RecordDict(), {}))
    return results[0]


def one_after_the_other(grid: Grid, servers: Sequence[Callable[[Grid, Tell], T]], tell: Tell) -> list[T]:
    """Run trainings over the same clients; `tell` is told how many exchanges of all of them are done."""
    counts = [0] * len(servers)

    def teller(i: int) -> Tell:
        def note(done: int) -> None:
            counts[i] = done
            tell(sum(counts))

        return note

    return [server(grid, teller(i)) for i, server in enumerate(servers)]


def share_of(gpus: float, processes: int) -> float:
    """What each of so many processes asks for of all GPUs."""
    return round(gpus / processes - 5e-4, 3) if gpus else 0.0
