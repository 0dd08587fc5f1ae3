"""Bundles from and to the formats of others: ONNX, folders of transformers; it knows no verb."""
