"""What moves weights: optimizers, their learning rates over time, means of weights."""
