"""The one training loop: steps, checkpoints, means of weights, the optimizer; it knows no task."""
