"""A client's SuperNode with a client process that stays."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.deploy.node import main

if __name__ == "__main__":
    guard(main)
