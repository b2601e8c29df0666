"""What crosses the wire: typed messages, their packing and checking."""

import fl_tiprdc.environment  # noqa: F401  before Flower
