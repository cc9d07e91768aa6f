"""Find a detector for a board, deliver it, and run a picture through it.

    python examples/detector/detect.py        needs flash-codesign[onnx]

The weights are random until somebody trains the network (docs/guide/detectors.md), so the boxes
mean nothing yet; the path from a search to boxes in pixels is the real one.
"""

from pathlib import Path

import numpy as np
import onnxruntime

from flash.export import export
from flash.search import search

report = search("rpi4b", "detector-voc", max_latency_ms=100)
print(report)
folder = Path("build/detector")
report_file = folder / "front.json"
folder.mkdir(parents=True, exist_ok=True)
report_file.write_text(report.to_json())
export(report_file, ["balanced"], folder, format="onnx-nms")

session = onnxruntime.InferenceSession(next(folder.glob("*-nms.onnx")))
side = session.get_inputs()[0].shape[-1]
picture = np.zeros((side, side, 3), dtype=np.uint8)  # a bright square on black, RGB
picture[side // 4 : side // 2, side // 4 : side // 2] = 255
image = picture.astype(np.float32).transpose(2, 0, 1)[None] / 255  # channels first, 0 to 1
for x1, y1, x2, y2, score, number in session.run(None, {"input": image})[0][:5]:
    print(f"class {number:.0f}, {score:.0%}: ({x1:.0f}, {y1:.0f}) to ({x2:.0f}, {y2:.0f})")
