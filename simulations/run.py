"""The main job: train centralized and federated, publish, audit, plot the privacy-utility curves."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.commands.run import main

if __name__ == "__main__":
    guard(main)
