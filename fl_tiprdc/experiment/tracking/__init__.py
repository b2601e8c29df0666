"""Where else a run is followed while it goes on and afterwards: TensorBoard, MLflow, Weights & Biases."""

import fl_tiprdc.environment  # noqa: F401  before the trackers
