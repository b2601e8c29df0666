"""The coordinator's folder of a deployment whose clients have tables of their own."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.deploy.describe import main

if __name__ == "__main__":
    guard(main)
