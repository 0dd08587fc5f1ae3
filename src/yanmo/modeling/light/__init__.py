"""Networks small enough to learn on a processor from nothing, and heads of a few layers: LSTMs, chains, trees."""
