"""`flwr run` with the flags of a run, and an exit status: Flower's own is 0 even when a run failed."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.commands.flwr_run import main

if __name__ == "__main__":
    guard(main)
