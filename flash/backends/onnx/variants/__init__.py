"""Anyone's ONNX model as a space of its smaller variants, and each variant as a model again."""
