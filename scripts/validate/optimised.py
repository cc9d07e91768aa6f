"""The rules for what onnxruntime merges and reorders, against the graph that it makes itself.

    python scripts/validate/optimised.py [--machine x86-avx2] [--graphs DIR]

Networks of ``any_model.py`` (those in the machine's ``any-model.csv``), read as they were exported
and priced by rule, and as the onnxruntime of this machine optimises them (``flash estimate
--optimized-by onnxruntime``), every node a kernel. Printed are the kernels of both and the ratio of
the two latencies; and their errors, where the file has the machine's own latencies. Needs what
``x86.py`` needs; a minute, and five for the first export.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import x86

from flash.backends import optimised_network
from flash.errors import FlashError
from flash.targets.processor.costs import executed_layers, network_costs
from flash.targets.processor.profile import load_profile
from flash.targets.processor.target import ProcessorTarget


def main() -> int:
    """Print a line a network and the medians; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machine", choices=x86.MACHINES, default="x86-avx2", help="(%(default)s)")
    parser.add_argument("--graphs", metavar="DIR", help="exported files are kept there")
    options = parser.parse_args()
    profile = load_profile(options.machine)
    as_read, _ = ProcessorTarget(profile).of_optimised("onnxruntime")
    executes, fusion = profile.runtime.executes, profile.runtime.fusion
    ratios, kernels, errors = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        graphs = Path(options.graphs or folder)
        for name, measured_ms, network in x86.others(options.machine, graphs):
            try:
                read = optimised_network(graphs / f"{name.replace('/', '__')}.onnx")
            except FlashError as error:
                print(f"{name:44s}{error}")
                continue
            by_rule_ms = network_costs(network, profile)["latency_ms"]
            read_ms = network_costs(read, as_read.profile)["latency_ms"]
            counts = (
                len(executed_layers(network, executes, fusion)),
                len(executed_layers(read, executes, "read")),
            )
            print(
                f"{name:44s}{counts[0]:5d} kernels by rule {counts[1]:5d} run   "
                f"latency read / by rule {read_ms / by_rule_ms:5.3f}"
            )
            ratios.append(read_ms / by_rule_ms)
            kernels.append(counts[1] / counts[0])
            errors.append([abs(ms / measured_ms - 1) for ms in (by_rule_ms, read_ms)])
    low, middle, high = np.percentile(ratios, [5, 50, 95])
    print(
        f"{len(ratios)} networks: latency read over by rule, median {middle:.3f}, 5 to 95 % "
        f"{low:.3f} to {high:.3f}; median difference "
        f"{100 * np.median(np.abs(np.array(ratios) - 1)):.1f} %; kernels run over by rule, median "
        f"{np.median(kernels):.2f}"
    )
    by_rule, read_error = 100 * np.median(np.array(errors), axis=0)
    print(f"median error by rule {by_rule:.1f} %, of the graph read {read_error:.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
