"""A client's own table, made ready for a deployment; it stays on the client's machine."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.deploy.own_table import main

if __name__ == "__main__":
    guard(main)
