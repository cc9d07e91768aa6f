"""ONNX models: read, written, quantized and run."""

import os

# onnxruntime 1.32 and newer reports its use to its makers and leaves a file (``.ses``) among the
# temporary ones: neither is flash's to do. Whoever wants it sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
