"""The command line that entry points share."""
