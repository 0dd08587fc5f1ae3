"""Language models: networks that read from left to right, and the rows of documents that they read."""
