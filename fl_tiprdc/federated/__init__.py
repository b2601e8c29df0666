"""Clients, server, runtimes and publication, on Flower's Message API."""

import fl_tiprdc.environment  # noqa: F401  before Flower and Ray
