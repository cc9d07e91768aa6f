"""Draw the house from its imports: ``python scripts/draw_house.py [--check]``.

Writes ``docs/house.svg``, a room a box and an arrow from whoever imports to what is imported, and
the table of rooms in ``docs/architecture.md``. Arrows that follow from others are left out (a
transitive reduction), so that what is drawn can be read. ``--check`` writes nothing and exits
with 1 where a file is not current.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

__all__ = ["documents", "main", "room_imports"]

ROOT = Path(__file__).resolve().parents[1]
SVG, PAGE = ROOT / "docs" / "house.svg", ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: drawn by scripts/draw_house.py -->", "<!-- end of rooms -->"

#: Rooms that everything may stand on; the others are verbs (with a command) and nouns.
GROUND = frozenset(
    {"command", "device", "errors", "extras", "files", "interrupts", "plugins", "quantities",
     "workers"}
)  # fmt: skip
#: Fill and edge of a box.
COLOURS = {
    "above": ("#f3e8ff", "#7e22ce"),
    "verb": ("#dbeafe", "#1d4ed8"),
    "noun": ("#dcfce7", "#15803d"),
    "ground": ("#f1f5f9", "#475569"),
}
BOX_WIDTH, BOX_HEIGHT, GAP, ROW = 112, 34, 14, 86
MARGIN = 24


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    made = documents()
    if check:
        stale = [path for path, text in made.items() if path.read_text(encoding="utf-8") != text]
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: python scripts/draw_house.py")
        return 1 if stale else 0
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


def documents() -> dict[Path, str]:
    """Path -> the text that belongs there."""
    imports = room_imports(ROOT / "flash")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page = f"{before}{BEGIN}\n{_table(imports)}\n{END}{after}"
    return {SVG: _svg(imports), PAGE: page}


# ------------------------------------------------------------------------------- the imports
def room_imports(package: Path) -> dict[str, set[str]]:
    """Room -> rooms it imports, for the folders and modules directly in ``package``."""
    found: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package).with_suffix("").parts
        if inside in (("__init__",), ("__main__",)):
            continue
        room = found.setdefault(inside[0], set())
        room |= {name for name in _imported(path, package.name) if name != inside[0]}
    return {room: others & found.keys() for room, others in found.items()}


def _imported(path: Path, package: str) -> Iterator[str]:
    """Rooms of ``package`` that a file imports; what only type checkers see does not count."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1:
                yield parts[1]


def _levels(imports: Mapping[str, set[str]]) -> dict[str, int]:
    """Height of each room: one more than the highest room it stands on."""
    known: dict[str, int] = {}

    def level(room: str) -> int:
        if room not in known:
            known[room] = 1 + max((level(other) for other in imports[room]), default=-1)
        return known[room]

    for room in sorted(imports):
        level(room)
    return known


def _reduced(imports: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Arrows without those that follow from two or more others."""
    below: dict[str, set[str]] = {}
    for room in sorted(imports, key=_levels(imports).__getitem__):
        below[room] = set().union(*({other} | below[other] for other in imports[room]), set())
    return sorted(
        (room, other)
        for room, others in imports.items()
        for other in others
        if not any(other in below[middle] for middle in others)
    )


def _without_ground(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    return {room: others - GROUND for room, others in imports.items() if room not in GROUND}


def _kind(room: str) -> str:
    if room == "testing":
        return "above"
    if room in GROUND:
        return "ground"
    return "verb" if (ROOT / "flash" / room / "__main__.py").exists() else "noun"


def _purpose(room: str) -> str:
    """The first line of a room's docstring."""
    place = ROOT / "flash" / room
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


# ------------------------------------------------------------------------------ what is written
def _table(imports: Mapping[str, set[str]]) -> str:
    levels = _levels(imports)
    below: dict[str, list[str]] = {room: [] for room in imports}
    for room, other in _reduced(_without_ground(imports)):
        below[room].append(f"`{other}`")
    lines = ["| room | kind | what it is | stands on |", "| --- | --- | --- | --- |"]
    for room in sorted(imports, key=lambda name: (-levels[name], name)):
        others = ", ".join(below[room]) or "ground"
        purpose = _purpose(room).replace("``", "`").replace("|", "\\|")
        lines.append(f"| `{room}` | {_kind(room)} | {purpose} | {others} |")
    return "\n".join(lines)


def _places(imports: Mapping[str, set[str]]) -> tuple[dict[str, tuple[float, float]], int, int]:
    """Centre of each box, and the size of the picture.

    Verbs and nouns in rows by height, ordered by the mean place of what they stand on; below them
    the ground, as many boxes a row as fit.
    """
    above = _without_ground(imports)
    levels = _levels(above)
    rows = [sorted(r for r in above if levels[r] == k) for k in range(max(levels.values()) + 1)]
    most = max(len(row) for row in rows)
    ground = sorted(imports.keys() & GROUND)
    slabs = [ground[k : k + most] for k in range(0, len(ground), most)]
    width = 2 * MARGIN + most * (BOX_WIDTH + GAP) - GAP
    at: dict[str, float] = {}
    for row in [*slabs, *rows]:
        wish = {
            room: sum(at[other] for other in above[room]) / len(above[room])
            if above.get(room)
            else width / 2
            for room in row
        }
        row.sort(key=lambda room: (round(wish[room], 3), room))
        first = (width - len(row) * (BOX_WIDTH + GAP) + GAP) / 2 + BOX_WIDTH / 2
        for number, room in enumerate(row):
            at[room] = first + number * (BOX_WIDTH + GAP)
    top, floor = MARGIN + BOX_HEIGHT / 2, MARGIN + (len(rows) - 1) * ROW + 1.5 * BOX_HEIGHT
    y = {room: top + (len(rows) - 1 - levels[room]) * ROW for room in above}
    for number, slab in enumerate(slabs):
        step = number * (BOX_HEIGHT + GAP)
        y |= dict.fromkeys(slab, floor + 2 * GAP + step + BOX_HEIGHT / 2)
    height = floor + 3 * GAP + len(slabs) * (BOX_HEIGHT + GAP) + 40
    return {room: (at[room], y[room]) for room in imports}, int(width), int(height)


def _svg(imports: Mapping[str, set[str]]) -> str:
    places, width, height = _places(imports)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="14" text-anchor="middle">',
        "<title>The rooms of flash and what each imports</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    floor = min(y for room, (_, y) in places.items() if room in GROUND) - BOX_HEIGHT / 2 - GAP
    parts.append(
        f'<rect x="{MARGIN / 2:.0f}" y="{floor:.0f}" width="{width - MARGIN}" '
        f'height="{height - floor - 36:.0f}" rx="5" fill="#e2e8f0"/>'
    )
    for room, other in _reduced(_without_ground(imports)):
        (x1, y1), (x2, y2) = places[room], places[other]
        y1, y2 = y1 + BOX_HEIGHT / 2, y2 - BOX_HEIGHT / 2
        bend = min(40.0, (y2 - y1) / 2)
        parts.append(
            f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} '
            f'{x2:.0f} {y2:.0f}" fill="none" stroke="#64748b" stroke-opacity="0.7" '
            f'marker-end="url(#tip)"><title>{room} imports {other}</title></path>'
        )
    for room, (x, y) in sorted(places.items()):
        fill, edge = COLOURS[_kind(room)]
        parts.append(
            f'<g><title>{escape(_purpose(room))}</title><rect x="{x - BOX_WIDTH / 2:.0f}" '
            f'y="{y - BOX_HEIGHT / 2:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" '
            f'fill="{fill}" stroke="{edge}"/><text x="{x:.0f}" y="{y + 5:.0f}" '
            f'fill="#0f172a">{room}</text></g>'
        )
    for number, (kind, (fill, edge)) in enumerate(COLOURS.items()):
        x = MARGIN + number * 110
        parts.append(
            f'<rect x="{x}" y="{height - 30}" width="14" height="14" fill="{fill}" '
            f'stroke="{edge}"/><text x="{x + 20}" y="{height - 18}" text-anchor="start" '
            f'fill="#0f172a">{kind}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
