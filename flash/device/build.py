"""Build the one file that devices get: ``python -m flash.device.build [--check] [FILE]``.

The file is ``scripts/profile_device.py``. It holds the modules of ``flash.device`` one after the
other, each after those that it imports; imports of the standard library come once, at the top.
``--check`` writes nothing and exits with 1 where the file is not what the parts make.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["FILE", "Part", "build", "main", "parts"]

_HERE: Final = Path(__file__).resolve().parent
#: The built file in a source checkout.
FILE: Final = _HERE.parents[1] / "scripts" / "profile_device.py"
_PACKAGE: Final = "flash.device"
_FIRST: Final = f"{_PACKAGE}.start"
_LAST: Final = f"{_PACKAGE}.main"
#: Longest line of the built file.
_WIDTH: Final = 100

_TOP: Final = '''#!/usr/bin/env python3
# Built from the modules of flash/device by "python -m flash.device.build": change those.
"""Measure how long networks take on this device. One file; needs numpy and onnxruntime only.

    python3 profile_device.py --suite suite.zip --out measurements.jsonl

``suite.zip`` comes from ``python -m flash.profile --write-suite suite.zip``; ONNX files of your
own can be named instead. Copy ``measurements.jsonl`` back and give it to ``flash.fit``.

What is measured: the time of ``session.run`` from an input in host memory to an output in host
memory, one call at a time, after warm-up, repeated until the median is known to 1 % (95 %
interval by order statistics, which assumes nothing about the distribution) or the network's
share of the time budget is used up. A line is written, and forced to disk, after each
network; the same command goes on where an interrupted one stopped. ``--passes N`` goes round all
networks N times, a line each. When all are done, a network's lines become one, that of its fastest
pass: whoever else uses the device only ever adds time, now to one network and now to another, so
the fastest passes repeat best. All medians are kept beside it.

Energy: from whatever counter or power sensor the device has (Intel and AMD RAPL, NVIDIA NVML,
INA2xx and INA3221 over hwmon, INA2xx over I2C, the power chip of a Raspberry Pi 5, power_supply),
or from an external meter's CSV. Those networks run once more without a pause for ``--hold``,
because sensors are slow; latencies are never taken there. A reading that cannot be true is no
energy, and its record says why.

Runs on Python 3.8 or newer. This is one file on purpose: devices need not install flash.
"""

from __future__ import annotations
'''
_END: Final = '\n\nif __name__ == "__main__":\n    sys.exit(main())\n'


class Part(NamedTuple):
    """A module: its docstring, the modules of ours and of others that it imports, its code."""

    name: str
    docstring: str
    ours: tuple[str, ...]
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    code: str
    defines: frozenset[str]


def build() -> str:
    """The text of the built file; raises ``ValueError`` for parts that cannot stand in one."""
    ordered = parts()
    seen: dict[str, str] = {}
    for part in ordered:
        for name in part.defines:
            if name in seen:
                raise ValueError(f"{name} is defined in {seen[name]} and in {part.name}")
            seen[name] = part.name
    first, *others = ordered
    text = _TOP + "\n" + _import_block(first.imports) + "\n" + first.code
    taken = set(_import_block(first.imports).splitlines())
    block = _import_block([node for part in others for node in part.imports])
    text += "\n" + "".join(f"{line}\n" for line in block.splitlines() if line not in taken)
    for number, part in enumerate(others):
        gap = "\n\n" if number else "\n"  # after imports one blank line, as isort has it
        text += f"{gap}{_banner(part)}\n\n\n{part.code}"
    text += _END
    tree = ast.parse(text, feature_version=(3, 8))
    wrong = {name for name in _imported(tree) if name.partition(".")[0] == "flash"}
    if wrong:
        raise ValueError(f"the file imports {', '.join(sorted(wrong))}")
    return text


def parts() -> list[Part]:
    """The parts that ``main`` needs, each after those that it imports, ``start`` first."""
    found: dict[str, Part] = {_FIRST: _read(_FIRST)}
    under_way: list[str] = []

    def add(name: str) -> None:
        if name in under_way:
            raise ValueError(f"{' -> '.join([*under_way, name])}: the parts import each other")
        if name in found:
            return
        under_way.append(name)
        part = _read(name)
        for other in part.ours:
            add(other)
        under_way.pop()
        found[name] = part

    add(_LAST)
    return list(found.values())


def _read(name: str) -> Part:
    path = _HERE.joinpath(*name.split(".")[2:]).with_suffix(".py")
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    ours: dict[str, None] = {}
    imports: list[ast.Import | ast.ImportFrom] = []
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    end = tree.body[0].end_lineno or 0
    for node in body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        end = node.end_lineno or end
        module = node.module if isinstance(node, ast.ImportFrom) else None
        if module == "__future__":
            continue
        if module is not None and module.startswith(f"{_PACKAGE}."):
            if any(alias.asname for alias in node.names):
                raise ValueError(f"{name}: names of parts keep their names")
            ours[module] = None
        elif any(alias.name.partition(".")[0] == "flash" for alias in node.names) or (
            module is not None and module.partition(".")[0] == "flash"
        ):
            raise ValueError(f"{name}, line {node.lineno}: parts import parts, by their names")
        else:
            imports.append(node)
    code = "\n".join(source.splitlines()[end:]).strip("\n") + "\n"
    docstring = ast.get_docstring(tree) or ""
    return Part(name, docstring, tuple(ours), tuple(imports), code, _defined(body))


def _defined(body: Sequence[ast.stmt]) -> frozenset[str]:
    """Names that a module's own statements bind."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


def _imported(tree: ast.Module) -> set[str]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return names | {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}


def _import_block(nodes: Sequence[ast.Import | ast.ImportFrom]) -> str:
    """Import statements, each module once, in the order that isort gives."""
    plain: set[str] = set()
    names: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            plain |= {alias.name for alias in node.names}
        else:
            names.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
    lines = [f"import {name}" for name in sorted(plain)]
    for module, members in sorted(names.items()):
        ordered = sorted(members, key=lambda word: (not word.isupper(), word.islower(), word))
        line = f"from {module} import {', '.join(ordered)}"
        if len(line) > _WIDTH:
            line = f"from {module} import (\n" + "".join(f"    {n},\n" for n in ordered) + ")"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _banner(part: Part) -> str:
    """A part's file and docstring as a comment."""
    place = "/".join(part.name.split(".")[2:]) + ".py"
    rule = f"# {'=' * (_WIDTH - len(place) - 3)} {place}"
    lines = [f"# {line}".rstrip() for line in part.docstring.splitlines()]
    return "\n".join([rule, *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        "python -m flash.device.build", description="Build the one file that devices get."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it is stale")
    parser.add_argument("files", nargs="*", type=Path, help=f"default: scripts/{FILE.name}")
    options = parser.parse_args(arguments)
    check, places, text = options.check, options.files or [FILE], build()
    for place in places:
        if not check:
            place.write_text(text, encoding="utf-8")
            place.chmod(0o755)
        elif not place.exists() or place.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{place} is not what flash/device makes: {__spec__.name}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
