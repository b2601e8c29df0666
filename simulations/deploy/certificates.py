"""Certificates and keys of a deployment: one authority, the server's certificate, a key for each client's node."""

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.deploy.certificates import main

if __name__ == "__main__":
    guard(main)
