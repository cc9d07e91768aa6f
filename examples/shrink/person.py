"""A 2-class detector of persons on 96 x 96 grey images, trained from folders of images.

    python examples/shrink/person.py        needs flash-codesign[onnx,train]

The task of MLPerf Tiny's visual wake words. The images are made here, so that it runs anywhere
in a minute: bright upright figures, and none. With your own, put them into two folders.
"""

from pathlib import Path

import numpy as np
import onnx
from PIL import Image

from flash.backends import network_model, random_weights
from flash.shrink import shrink
from flash.spaces.emitter import Emitter
from flash.spaces.network import GraphEmitter
from flash.train import train

folder = Path("build/person")
rng = np.random.default_rng(0)
for number in range(60):
    pixels = rng.integers(0, 90, (96, 96)).astype(np.uint8)
    person = number % 2 == 0
    if person:
        x, y = rng.integers(20, 70), rng.integers(20, 40)
        pixels[y : y + 40, x - 5 : x + 5] = 220  # a body
        pixels[y - 10 : y, x - 4 : x + 4] = 250  # a head
    place = folder / "images" / ("person" if person else "nobody")
    place.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(place / f"{number}.png")


def separable(e: Emitter) -> GraphEmitter:
    """Five depthwise separable layers, as MobileNet-V1 begins."""
    source = e.source(1, 96, 96)
    x = e.conv(source, 16, stride=2)
    for channels, stride in ((32, 2), (32, 1), (64, 2), (64, 2)):
        x = e.conv(x, x.channels, stride=stride, groups=x.channels)
        x = e.conv(x, channels, kernel=1)
    return e.network(source, e.linear(e.global_pool(x), 2))


network = separable(GraphEmitter())
onnx.save(network_model(network, random_weights(network)), folder / "person.onnx")
report = shrink(folder / "person.onnx", "rpi4b", max_latency_share=0.6, out=folder / "small")
smaller = folder / "small" / f"person-{report.chosen}.onnx"
trained = train(smaller, folder / "images", epochs=15, out=folder / "trained")
print("\n".join([*report.lines(), "", *trained.lines()]))
print(f"python {folder}/trained/predict.py {folder}/images/person/0.png")
