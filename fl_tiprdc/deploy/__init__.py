"""A deployment with real clients: commands that set it up, and its processes."""
