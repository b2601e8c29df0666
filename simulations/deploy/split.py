"""Split a data set into the folders of a deployment: one for each client, and the coordinator's."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.deploy.split import main

if __name__ == "__main__":
    guard(main)
