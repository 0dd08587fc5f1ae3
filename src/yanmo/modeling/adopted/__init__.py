"""Classifiers of others, opened as they are, and what transformers by itself answers and opens."""
