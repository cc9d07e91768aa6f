"""Every model of one operator that the package onnx tests runtimes with: priced, or why not.

    python scripts/validate/onnx_operators.py [--target x86-zen4] [--verbose]

``onnx.backend.test`` makes some 1,900 small models, an operator or its expansion into others each,
many with shapes, axes and loops as inputs. Each is read and priced, with its layers and scores.
Printed are the reasons of refusals and how many have each; an end by anything but a refusal is
printed with the model's name and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
import warnings
from collections import Counter

from onnx.backend.test.case.node import collect_testcases

from flash.backends import network_of
from flash.errors import FlashError
from flash.estimate.pricing import Model, price_models
from flash.targets import load_target

#: Characters of a reason that tell kinds apart.
_SHOWN = 90


def main() -> int:
    """Print a line a kind of refusal, and the totals; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="x86-zen4", help="(%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="a line a refused model as well")
    options = parser.parse_args()
    target = load_target(options.target)
    warnings.simplefilter("ignore")
    priced, failed, reasons = 0, 0, Counter[str]()
    for case in collect_testcases(None):
        if case.model is None:
            continue
        try:
            network = network_of(case.model, case.name)
            with contextlib.redirect_stderr(io.StringIO()):
                price_models([Model(name=case.name, network=network)], [target], layers=True)
        except FlashError as error:
            reason = str(error).removeprefix(f"{case.name}: ")
            if options.verbose:
                print(f"{case.name}: {reason}")
            reasons[re.sub(r"'[^']*'|\d+", "*", reason)[:_SHOWN]] += 1
        except Exception as error:  # whatever it is, it is a fault
            failed += 1
            print(f"FAULT {case.name}: {type(error).__name__}: {error}")
        else:
            priced += 1
    for reason, count in reasons.most_common():
        print(f"{count:5d}  {reason}")
    total = priced + failed + reasons.total()
    print(f"{priced} of {total} priced, {reasons.total()} refused, {failed} faults")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
