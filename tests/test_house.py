"""The laws of the house (CONTRIBUTING.md) that import-linter does not state: see pyproject.toml."""

from __future__ import annotations

import ast
import importlib.util
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "flash").rglob("*.py"))

#: Modules of the package's root: ground that every command stands on.
GROUND = {"__init__", "__main__", "command", "errors", "extras", "interrupts", "plugins"}
#: Heavy library -> the only rooms and modules that may import it.
ROOMS = {
    "PIL": ("files",),
    "deap": ("search.budgeted.formula", "search.budgeted.genetic"),
    "matplotlib": (),
    "onnx": ("backends",),
    "onnx_ir": ("backends",),
    "onnxruntime": ("backends", "device"),
    "pandas": ("report",),
    "pymoo": ("optimize.nsga2",),
    "ray": ("workers",),
    "sklearn": ("search.budgeted.bayes", "search.budgeted.weak", "fitting.baselines"),
    "torch": ("backends", "proxies", "supernet", "training", "testing"),
    "tvm": ("backends",),
    "tvm_ffi": ("backends",),
    "xgboost": ("backends",),
}


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path):
    """(line, module) of everything a file imports: statements, ``need`` and ``import_module``.

    What only a type checker sees does not count.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ("need", "import_module") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def may(module, library):
    inside = module.removeprefix("flash.")
    return any(inside == room or inside.startswith(f"{room}.") for room in ROOMS[library])


def test_heavy_libraries_are_imported_only_in_the_rooms_that_may():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in FILES
        for line, name in imported(path)
        if name.partition(".")[0] in ROOMS and not may(module_of(path), name.partition(".")[0])
    ]
    assert not wrong, "\n".join(wrong)


def test_the_search_for_imports_sees_statements_needs_and_names_of_modules(tmp_path):
    file = tmp_path / "some.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "def f():\n    import onnx.helper\n    need('ray', extra='ray')\n"
        "    importlib.import_module('tvm.ir')\n    from sklearn.svm import SVC\n"
    )
    assert [name for _, name in sorted(imported(file))] == [
        "typing",
        "onnx.helper",
        "ray",
        "tvm.ir",
        "sklearn.svm",
    ]
    assert may("flash.backends.onnx.file", "onnx") and not may("flash.backends_of.file", "onnx")


def test_the_root_of_the_package_holds_ground_only():
    assert {path.stem for path in (ROOT / "flash").glob("*.py")} == GROUND


#: Rooms of kinds: what is defined there is asked for by name in its registry, and by no class.
KINDS = ("flash.spaces.families.", "flash.targets.imc", "flash.targets.processor",
         "flash.targets.systolic", "flash.optimize.shgo", "flash.optimize.nsga2")  # fmt: skip


def classes_asked_for(path):
    """(line, module of the class) of every ``isinstance`` on a class that the file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    homes = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            for name in ast.walk(node.args[1]):
                if isinstance(name, ast.Name) and name.id in homes:
                    yield node.lineno, homes[name.id]


def test_nobody_asks_for_the_class_of_a_kind_outside_its_room():
    wrong = []
    for path in FILES:
        for line, home in classes_asked_for(path):
            room = next((kind for kind in KINDS if f"{home}.".startswith(kind)), None)
            if room and not f"{module_of(path)}.".startswith(room):
                wrong.append(f"{path.relative_to(ROOT)}:{line} asks for a class of {home}")
    assert not wrong, "\n".join(wrong)


# ------------------------------------------------------------------------------- no circles
def circles(edges):
    """Sets of nodes that reach each other, by Tarjan's algorithm; each sorted, of two or more."""
    after = defaultdict(set)
    for source, target in edges:
        after[source].add(target)
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for following in sorted(after[node]):
            if following not in number:
                visit(following)
                low[node] = min(low[node], low[following])
            elif following in stack:
                low[node] = min(low[node], number[following])
        if low[node] == number[node]:
            place = stack.index(node)
            if len(stack) - place > 1:
                found.append(sorted(stack[place:]))
            del stack[place:]

    for node in sorted(after):
        if node not in number:
            visit(node)
    return found


@pytest.fixture(scope="module")
def imports():
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("flash")  # with what only a type checker imports
    return [
        (module, other)
        for module in sorted(graph.modules)
        for other in sorted(graph.find_modules_directly_imported_by(module))
    ]


def folder_of(module):
    place = ROOT.joinpath(*module.split("."))
    return module if place.is_dir() else module.rpartition(".")[0]


def test_circles_are_found():
    assert circles([("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]) == [["b", "c"]]
    assert circles([("a", "b"), ("b", "c"), ("a", "c")]) == []


def test_no_circle_of_files(imports):
    assert circles(imports) == []


def test_no_circle_of_folders(imports):
    """A package's ``__init__`` may hand on what is inside it."""
    edges = {
        (folder_of(a), folder_of(b))
        for a, b in imports
        if not (a == folder_of(a) and b.startswith(f"{a}."))
    }
    assert circles((a, b) for a, b in edges if a != b) == []


def test_the_picture_of_the_house_is_current():
    """After a change of imports: python scripts/draw_house.py."""
    spec = importlib.util.spec_from_file_location("draw_house", ROOT / "scripts/draw_house.py")
    draw_house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw_house)
    for path, text in draw_house.documents().items():
        assert path.read_text(encoding="utf-8") == text, "run python scripts/draw_house.py"


def test_contributing_names_every_registry_and_suite():
    from flash import testing
    from flash.plugins import GROUPS

    pages = [(ROOT / name).read_text() for name in ("CONTRIBUTING.md", "docs/architecture.md")]
    for group in GROUPS:
        assert f"`{group}`" in pages[1]
    for suite in testing.__all__:
        if suite.endswith("Conformance"):
            assert f"`{suite}`" in pages[0] and f"`{suite}`" in pages[1]
