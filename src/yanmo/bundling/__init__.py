"""Bundles from Bundles: as ONNX, with 8-bit weights, several as one, or the mean of several; it knows no verb."""
