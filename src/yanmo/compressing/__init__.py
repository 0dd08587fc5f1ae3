"""Smaller Bundles: in 8 bits, sparse, and what a teacher says to its student; it knows no verb."""
