"""The commands of `fl-tiprdc`, one file each."""
