"""Messages between the server and its clients: typed, packed and unpacked in this package."""

import fl_tiprdc.environment  # noqa: F401  before Flower
