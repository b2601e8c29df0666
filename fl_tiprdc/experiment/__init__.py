"""A run: its stages, what they share, and the folder that it leaves."""
