"""What README shows of a real run, made anew: ``python scripts/draw_pictures.py``.

Searches ``cifar10-concat`` on ``rpi3b`` as README's first command does; writes its picture to
``docs/images/front.svg`` and its lines into the block below that command. A test compares them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
_COMMAND = ("-m", "flash.search", "--target", "rpi3b")
_BLOCK = re.compile(r"(?<=```text\n)cifar10-concat on rpi3b.*?(?=^```)", re.DOTALL | re.MULTILINE)


def main() -> int:
    """Run the command in an empty folder, and take its picture and its lines."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, *_COMMAND], cwd=folder, check=True, capture_output=True, text=True
        )
        picture = Path(folder) / "flash-out" / "latest" / "front.svg"
        shutil.copy(picture, ROOT / "docs" / "images" / "front.svg")
    text = README.read_text(encoding="utf-8")
    README.write_text(_BLOCK.sub(lambda _: done.stdout, text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
