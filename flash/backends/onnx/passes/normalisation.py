"""Recognise normalisations that exporters write as several nodes.

Requires: shapes, constants folded. Ensures: layer norms and RMS norms over trailing axes are one
``LayerNormalization`` or ``flash.RmsNorm`` node; a group norm written as an instance norm
between two reshapes is one ``GroupNormalization``. Scale and shift behind them are theirs.
"""

from __future__ import annotations

from flash.backends.onnx.ir.graph import Graph, Node
from flash.backends.onnx.passes.patterns import Patterns

__all__ = ["fuse_normalisation"]


def fuse_normalisation(graph: Graph) -> None:
    """Run the pass."""
    found = Patterns(graph)
    for root in (*found.of("Sqrt"), *found.of("Pow")):
        if root.op == "Sqrt" or found.number(root.input(1)) in (0.5, -0.5):
            _layer_norm(found, root) or _rms_norm(found, root)
    for norm in found.of("InstanceNormalization"):
        _group_norm(found, norm)


def _divided(found: Patterns, root: Node) -> tuple[list[Node], str] | None:
    """The nodes that divide something by ``root``'s result, and what they divide."""
    name = root.outputs[0]
    reader = found.only_reader(name)
    if reader is None:
        return None
    if root.op == "Pow" and found.number(root.input(1)) == -0.5:
        nodes: list[Node] = []
        product: Node | None = reader
    elif (
        reader.op == "Div"
        and reader.input(1) == name
        and reader.input(0) not in (found.graph.constants)
    ):
        return [reader], reader.input(0)
    elif reader.op == "Reciprocal" or (reader.op == "Div" and found.number(reader.input(0)) == 1.0):
        nodes, name = [reader], reader.outputs[0]
        product = found.only_reader(name, "Mul")
    else:
        return None
    if product is None or product.op != "Mul":
        return None
    other = product.inputs[0] if product.inputs[1] == name else product.inputs[1]
    return [*nodes, product], other


def _mean(found: Patterns, name: str) -> Node | None:
    """The node that takes a mean over trailing axes and keeps them."""
    node = found.maker(name, "ReduceMean")
    if node is None or not node.attributes.get("keepdims", 1):
        return None
    axes = node.attributes.get("axes")
    if axes is None:
        known = found.graph.known(node.input(1))
        axes = None if known is None else known.ravel().tolist()
    rank = len(found.graph.shape(node.input(0)))
    if not axes or sorted(a % rank for a in axes) != list(range(rank - len(axes), rank)):
        return None
    return node


def _square(found: Patterns, name: str) -> tuple[Node, str] | None:
    """The node that squares something, and what it squares."""
    node = found.maker(name, "Pow", "Mul")
    if node is None:
        return None
    if node.op == "Pow" and found.number(node.input(1)) == 2:
        return node, node.input(0)
    if node.op == "Mul" and node.input(0) == node.input(1):
        return node, node.input(0)
    return None


def _variance(found: Patterns, root: Node) -> tuple[list[Node], str] | None:
    """The nodes from a square to ``root`` (mean, offset), and what is squared."""
    offset = found.maker(root.input(0), "Add")
    operand = found.constant_operand(offset) if offset is not None else None
    mean = _mean(found, operand[1]) if operand is not None else None
    square = _square(found, mean.input(0)) if mean is not None else None
    if offset is None or mean is None or square is None:
        return None
    return [square[0], mean, offset, root], square[1]


def _affine(found: Patterns, nodes: list[Node], x: str) -> list[str]:
    """Take in the scale and shift behind the last node; returns their names."""
    weights: list[str] = []
    for op in ("Mul", "Add"):
        node = found.only_reader(nodes[-1].outputs[0], op)
        if node is None:
            break
        result = nodes[-1].outputs[0]
        other = node.inputs[0] if node.inputs[1] == result else node.inputs[1]
        if other not in found.graph.constants or not _per_channel(found.graph, other, x):
            break
        nodes.append(node)
        weights.append(other)
    return weights


def _per_channel(graph: Graph, constant: str, x: str) -> bool:
    """Whether a constant has at most one number for each place along the normalised axes."""
    shape, whole = graph.shape(constant), graph.shape(x)
    return len(shape) <= len(whole) and 1 < max(1, *shape, 1) <= max(whole)


def _layer_norm(found: Patterns, root: Node) -> bool:
    variance, divided = _variance(found, root), _divided(found, root)
    if variance is None or divided is None:
        return False
    nodes, centred = variance
    if divided[1] != centred:
        return False
    difference = found.maker(centred, "Sub")
    mean = _mean(found, difference.input(1)) if difference is not None else None
    if difference is None or mean is None or mean.input(0) != difference.input(0):
        return False
    x = mean.input(0)
    nodes = [mean, difference, *nodes, *divided[0]]
    weights = _affine(found, nodes, x)
    if not found.inner(nodes):
        return False
    made = Node("LayerNormalization", nodes[-1].name, [x, *weights], list(nodes[-1].outputs))
    found.become(nodes, made)
    return True


def _rms_norm(found: Patterns, root: Node) -> bool:
    variance, divided = _variance(found, root), _divided(found, root)
    if variance is None or divided is None or divided[1] != variance[1]:
        return False
    x = variance[1]
    nodes = [*variance[0], *divided[0]]
    weights = _affine(found, nodes, x)[:1]
    if not found.inner(nodes):
        return False
    found.become(
        nodes, Node("flash.RmsNorm", nodes[-1].name, [x, *weights], list(nodes[-1].outputs))
    )
    return True


def _group_norm(found: Patterns, norm: Node) -> bool:
    """Reshape to groups, instance norm with scale 1, reshape back, scale and shift."""
    before = found.maker(norm.input(0), "Reshape")
    after = found.only_reader(norm.outputs[0], "Reshape")
    if before is None or after is None:
        return False
    graph, x = found.graph, before.input(0)
    if graph.shape(x) != graph.shape(after.outputs[0]):
        return False
    nodes = [before, norm, after]
    weights = _affine(found, nodes, x)
    if not found.inner(nodes):
        return False
    found.become(
        nodes, Node("GroupNormalization", nodes[-1].name, [x, *weights], list(nodes[-1].outputs))
    )
    return True
