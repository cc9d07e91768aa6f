"""Run a TVM library that flash built, on the machine it was built for. Stands alone: copy it.

    pip install apache-tvm==0.27.0.post1 apache-tvm-ffi==0.1.14.post0 numpy
    python3 run.py MODEL.so 1x3x32x32                # noise in, latency out
    python3 run.py MODEL.so INPUT.npy [OUTPUT.npy]   # a float32 array in, the output stored

In a program of your own: ``run = load("MODEL.so"); output = run(array)``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TVM_USE_RUNTIME_LIB", "1")  # leaves the compiler out: loads faster

import numpy as np
import tvm
from tvm.runtime.vm import VirtualMachine

Run = Callable[[Any], Any]


def load(path: str) -> Run:
    """The network in the library at ``path``, as a function from input to output array."""
    machine = VirtualMachine(tvm.runtime.load_module(path), tvm.cpu())

    def run(image: Any) -> Any:
        return machine["main"](tvm.runtime.tensor(np.asarray(image, dtype=np.float32))).numpy()

    return run


def main(arguments: list[str]) -> int:
    """Run a library on an array or on noise of a shape, and tell how long it took."""
    if len(arguments) not in (2, 3):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    path, given, *output = arguments
    if given.endswith(".npy"):
        image = np.load(given, allow_pickle=False)
    else:
        shape = [int(size) for size in given.split("x")]
        image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    run = load(path)
    result = run(image)
    if output:
        np.save(output[0], result)
    times: list[float] = []
    while len(times) < 10 and sum(times) < 5.0:
        start = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - start)
    median = 1e3 * sorted(times)[len(times) // 2]
    runs = f"median of {len(times)} runs"
    sys.stdout.write(f"output {result.shape}; latency {median:.3f} ms ({runs})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
