"""Audit published representations, this project's or others': what they tell about a private attribute."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.commands.audit import main

if __name__ == "__main__":
    guard(main)
