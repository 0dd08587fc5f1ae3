"""Networks small enough to learn on a processor from nothing: convolutions, LSTMs, n-grams."""
