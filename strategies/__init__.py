"""Flower strategies: the server asks clients, checks their replies, aggregates and protects them."""

import fl_tiprdc.environment  # noqa: F401  before Flower and Ray
