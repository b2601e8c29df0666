"""Trackers, by which a run is followed while it goes on and afterwards: TensorBoard, MLflow, Weights & Biases."""
