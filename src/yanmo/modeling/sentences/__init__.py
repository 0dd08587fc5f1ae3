"""Encoders of whole sentences: the vectors that they give, and what few examples teach them."""
