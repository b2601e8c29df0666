"""Runs by Flower's own engine: the ServerApp and ClientApp of `flwr run`, and the command line that starts them."""

import fl_tiprdc.environment  # noqa: F401  before Flower and Ray
