"""What an ONNX graph is while it is read: nodes and values, and the mapping to layers."""
