"""Where else a run is followed while it goes on and afterwards: TensorBoard, MLflow, Weights & Biases."""
