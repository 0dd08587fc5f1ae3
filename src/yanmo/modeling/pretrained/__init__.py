"""Checkpoints of others: found, opened, and refused where something is missing."""
