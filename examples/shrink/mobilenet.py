"""MobileNet-V2 at half the latency on a Raspberry Pi 4, then one that trains.

    python examples/shrink/mobilenet.py        needs flash-codesign[onnx,torch]

With torchvision installed it is torchvision's, trained on ImageNet; without, flash's own reference
of the same network with random weights.
"""

import importlib.util
from pathlib import Path

import onnx
import torch

from flash.backends import network_model, random_weights, torch_graph
from flash.shrink import shrink
from flash.spaces.reference import reference_network

folder = Path("build/shrink")
folder.mkdir(parents=True, exist_ok=True)
if importlib.util.find_spec("torchvision") is not None:
    from torchvision.models import mobilenet_v2

    given = mobilenet_v2(weights="DEFAULT")
    report = shrink(
        given,
        "rpi4b",
        example_input=torch.zeros(1, 3, 224, 224),
        max_latency_share=0.5,
        out=folder,
    )
else:
    network = reference_network("mobilenet_v2")
    file = folder.parent / "given.onnx"  # the folder is the results'
    onnx.save(network_model(network, random_weights(network)), file)
    report = shrink(file, "rpi4b", max_latency_share=0.5, out=folder)
print("\n".join(report.lines()))

# The variant is a torch module with the weights it inherits: train it as any other.
module = torch_graph((folder / f"{report.space}-{report.chosen}.onnx").read_bytes()).train()
optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
loss = torch.nn.functional.cross_entropy(module(torch.randn(2, 3, 224, 224)), torch.tensor([0, 1]))
loss.backward()
optimizer.step()
print(f"one step of training: loss {loss.item():.3f}")
