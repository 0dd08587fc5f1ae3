"""Bundles of several: ensembles and cascades, the mean of several's weights; it knows no verb."""
