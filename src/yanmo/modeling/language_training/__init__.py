"""From texts to a trained model that says how likely texts are, or writes them."""
