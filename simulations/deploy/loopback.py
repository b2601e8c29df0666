"""A whole deployment on this machine: certificates, one SuperLink, a SuperNode a client, a run, an end."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.deploy.loopback import main

if __name__ == "__main__":
    guard(main)
