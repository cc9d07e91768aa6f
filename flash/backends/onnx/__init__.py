"""ONNX models: read, written, quantized and run."""
