"""Keys of Flower's node and run configurations that no flag of a run has."""

DATA = "data"  # of a node's config: the folder of its own records
COORDINATOR = "coordinator"  # of the run config: the folder of what a deployment's server holds
OPEN_UPDATES = "open-updates"  # of the run config: the server of a deployment may see single updates
