"""How good and how fast Bundles are: their answers on a Dataset, their time and memory; it makes no Bundle."""
