"""From weights to an ONNX graph, and the proof that both answer alike; it knows no Bundle and no verb."""
