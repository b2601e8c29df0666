"""One page across runs: their frontiers in one figure, two of them side by side, all tables together."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.commands.compare import main

if __name__ == "__main__":
    guard(main)
