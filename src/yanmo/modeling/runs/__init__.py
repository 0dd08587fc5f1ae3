"""From texts to a trained model: networks, the linear one, pre-training, folds."""
