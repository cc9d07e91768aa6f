"""The lowest versions that pyproject.toml allows, as constraints of pip.

    python scripts/lowest_versions.py onnx > lowest.txt
    pip install -c lowest.txt 'flash-codesign[onnx]'

installs those of flash and of the extras named; what they depend on is as new as it may be.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_LOWEST = re.compile(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9][0-9A-Za-z.]*)")


def lowest(*extras: str) -> list[str]:
    """``name==version`` of what flash and these extras depend on, where there is a lowest one."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][e] for e in extras)]
    found = [_LOWEST.match(line) for group in groups for line in group]
    return sorted({f"{one[1]}=={one[2]}" for one in found if one})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="of flash")
    print("\n".join(lowest(*parser.parse_args().extras)))
