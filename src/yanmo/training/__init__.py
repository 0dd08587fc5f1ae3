"""Bundles from Datasets: what train, distill and prune share; it knows no verb."""
