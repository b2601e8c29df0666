"""What the server does with the clients' replies."""

import fl_tiprdc.environment  # noqa: F401  before Flower and Ray
