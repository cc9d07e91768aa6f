"""Record golden documents anew: ``python -m tests.golden.record NAME... --reason TEXT``.

For results that a change alters on purpose. What changed, under the map of renamed fields, and
the reason are appended to CHANGES.md; commit both with the change. ``all`` names every document.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(_FOLDER.parent))  # as pytest does: the modules are golden.NAME

from golden.comparing import compare, counted  # noqa: E402
from golden.documents import DOCUMENTS, made, recorded, renamed, save  # noqa: E402


def record(name: str, reason: str) -> str:
    """Make one document, keep it, and return what CHANGES.md says about it."""
    with tempfile.TemporaryDirectory() as folder:
        values = made(name, Path(folder))
    if (_FOLDER / f"{name}.json.gz").exists():
        differences = compare(renamed().apply(recorded(name)), values)
        changes = counted(differences) or ["nothing changed but names in renamed.json"]
    else:
        changes = [f"new: {len(values):,} values"]
    save(name, values)
    return "\n".join([f"\n## {name}\n", f"{reason}\n", *(f"- {line}" for line in changes), ""])


def main() -> None:
    """Record the documents named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", choices=[*DOCUMENTS, "all"])
    parser.add_argument("--reason", required=True, help="why the result changes on purpose")
    options = parser.parse_args()
    if not options.reason.strip():
        parser.error("--reason: say why the result changes")
    names = list(DOCUMENTS) if "all" in options.names else options.names
    for name in names:
        entry = record(name, options.reason.strip())
        with (_FOLDER / "CHANGES.md").open("a", encoding="utf-8") as stream:
            stream.write(entry)
        sys.stdout.write(f"recorded: {name}\n")


if __name__ == "__main__":
    main()
