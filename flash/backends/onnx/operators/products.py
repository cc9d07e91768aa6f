"""Matrix products: ``linear`` where one operand is constant, ``matmul`` of two activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from flash.backends.onnx.ir.graph import Constant, Node
from flash.backends.onnx.ir.mapper import Mapper
from flash.backends.onnx.operators.moving import permuted

__all__ = ["einsum", "gemm", "matmul", "matmul_bits"]

_MISFIT = "its weights do not fit its input"


def gemm(mapper: Mapper, node: Node) -> None:
    """``A B + C`` of matrices, either turned."""
    a, b = list(mapper.shape(node.input(0))), list(mapper.shape(node.input(1)))
    if len(a) != 2 or len(b) != 2:
        raise mapper.refusal(node, "its operands are no matrices")
    a = a[::-1] if node.attributes.get("transA", 0) else a
    b = b[::-1] if node.attributes.get("transB", 0) else b
    _product(mapper, node, a, b, bias=node.input(2))


def matmul(mapper: Mapper, node: Node) -> None:
    """A product as numpy's ``matmul`` has it."""
    a, b = list(mapper.shape(node.input(0))), list(mapper.shape(node.input(1)))
    if node.attributes.get("transA", 0):
        a[-2:] = a[:-3:-1]
    if node.attributes.get("transB", 0):
        b[-2:] = b[:-3:-1]
    _product(mapper, node, a, b)


def matmul_bits(mapper: Mapper, node: Node) -> None:
    """Weights of a few bits each, packed in blocks: N x K of them."""
    inner, outer = node.attributes["K"], node.attributes["N"]
    name = f"{node.input(1)}/unpacked"
    if name not in mapper.graph.constants:
        stored = "int4" if node.attributes.get("bits", 4) <= 4 else "int8"
        mapper.graph.roots[name] = inner * outer, stored
        mapper.graph.constants[name] = Constant((inner, outer), 1, None, frozenset([name]))
    plain = Node("MatMul", node.name, [node.input(0), name], node.outputs, {}, node.merged)
    matmul(mapper, plain)


def _product(
    mapper: Mapper, node: Node, a: Sequence[int], b: Sequence[int], bias: str = ""
) -> None:
    """Of operands of these shapes (turned already)."""
    inner = a[-1]
    if inner != (b[-2] if len(b) > 1 else b[0]):
        raise mapper.refusal(node, _MISFIT)
    rows, columns = (a[-2] if len(a) > 1 else 1), (b[-1] if len(b) > 1 else 1)
    batch_a, batch_b = prod(a[:-2]), prod(b[:-2])
    left, right = node.inputs[:2]
    merged = any(m.op == "Add" for m in node.merged)
    has_bias = bool(bias) or merged
    if mapper.is_constant(right) and batch_b == 1:
        linear(mapper, node, left, right, (inner, columns, batch_a * rows), bias, has_bias)
    elif mapper.is_constant(left) and batch_a == 1:
        linear(mapper, node, right, left, (inner, rows, batch_b * columns), bias, has_bias)
    else:
        batch = prod(_broadcast(a[:-2], b[:-2]))
        if batch_b == 1:  # one matrix for all: the stack is one of more rows
            batch, rows = 1, batch_a * rows
        stack(mapper, node, (batch, rows, inner, columns), bias, has_bias)


def _broadcast(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """The shape that two shapes broadcast to."""
    short, long = sorted((a, b), key=len)
    filled = [1] * (len(long) - len(short)) + list(short)
    if any(m != n and 1 not in (m, n) for m, n in zip(filled, long, strict=True)):
        raise ValueError(f"{a} and {b} do not broadcast")
    return [n if m == 1 else m for m, n in zip(filled, long, strict=True)]


def linear(
    mapper: Mapper,
    node: Node,
    x: str,
    weight: str,
    sizes: tuple[int, int, int],
    bias: str = "",
    has_bias: bool = False,
) -> None:
    """Record a product with constant weights; sizes: features in, features out, rows."""
    inner, outer, rows = sizes
    mapper.record(
        "linear",
        node,
        [x],
        weights=[weight, bias],
        in_channels=inner,
        out_channels=outer,
        in_height=rows,
        in_width=1,
        out_height=rows,
        out_width=1,
        bias=has_bias,
    )


def stack(
    mapper: Mapper,
    node: Node,
    sizes: tuple[int, int, int, int],
    bias: str = "",
    has_bias: bool = False,
    inputs: Sequence[str] = (),
    output: str = "",
) -> None:
    """Record products of two activations; sizes: matrices, rows, summed length, columns."""
    batch, rows, inner, columns = sizes
    inputs = inputs or node.inputs[:2]
    mapper.record(
        "matmul",
        node,
        inputs,
        output,
        weights=[*inputs, bias],
        in_channels=inner,
        out_channels=columns,
        in_height=rows,
        in_width=1,
        out_height=rows,
        out_width=1,
        batch=batch,
        bias=has_bias,
        operands=2,
    )


def einsum(mapper: Mapper, node: Node) -> None:
    """Sums of products by subscripts, two operands at a time from the left.

    Runtimes bring the axes of an activation into the order of a product of matrices first, and
    those of the product into the order of the result.
    """
    shapes = [mapper.shape(name) for name in node.inputs]
    terms, result = _subscripts(node.attributes["equation"].decode(), shapes)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, size in zip(term, shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    if len(terms) == 1:
        read = mapper.size(node.input(0))
        op = "copy" if set(terms[0]) == set(result) else "reduce"
        mapper.record(op, node, node.inputs, in_channels=read, in_height=1, in_width=1)
        return
    left, before = terms[0], node.input(0)
    for number, right in enumerate(terms[1:], start=1):
        wanted = set(result).union(*terms[number + 1 :])
        made = "".join(dict.fromkeys(x for x in left + right if x in wanted))
        output = node.outputs[0]
        if number == len(terms) - 1:
            made = result
        else:
            shape = tuple(sizes[x] for x in made)
            output = mapper.temporary(f"{output}/{number}", shape, output)
        _contract(mapper, node, (before, node.input(number)), (left, right, made), sizes, output)
        left, before = made, output


def _contract(
    mapper: Mapper,
    node: Node,
    names: tuple[str, str],
    terms: tuple[str, str, str],
    sizes: Mapping[str, int],
    output: str,
) -> None:
    left, right, made = (set(term) for term in terms)

    def count(letters: set[str]) -> int:
        return prod(sizes[x] for x in letters)

    both = left & right
    batch, inner = both & made, both - made
    rows, columns = left - right, right - left
    places = dict.fromkeys("".join(terms[:2]))
    in_order = [[x for x in places if x in part] for part in (batch, rows, inner, columns)]
    matrices, first, summed, last = in_order
    names = (
        _ordered(mapper, node, names[0], terms[0], [*matrices, *first, *summed], sizes),
        _ordered(mapper, node, names[1], terms[1], [*matrices, *summed, *last], sizes),
    )
    wanted, result = [x for x in [*matrices, *first, *last] if x in made], output
    if _order([x for x in terms[2] if sizes[x] > 1], [x for x in wanted if sizes[x] > 1]):
        shape = tuple(sizes[x] for x in wanted)
        output = mapper.temporary(f"{result}/product", shape, node.outputs[0])
    constant = [mapper.is_constant(name) for name in names]
    if not batch and constant[1] and not constant[0]:
        _linear_to(mapper, node, names, (count(inner), count(columns), count(rows)), output)
    elif not batch and constant[0]:
        turned = (names[1], names[0])
        _linear_to(mapper, node, turned, (count(inner), count(rows), count(columns)), output)
    else:
        sizes4 = (count(batch), count(rows), count(inner), count(columns))
        stack(mapper, node, sizes4, inputs=names, output=output)
    if output != result:
        order = _order([x for x in wanted if sizes[x] > 1], [x for x in terms[2] if sizes[x] > 1])
        mapper.record("copy", node, [output], result, act=permuted(order))


def _ordered(
    mapper: Mapper,
    node: Node,
    name: str,
    term: str,
    wanted: Sequence[str],
    sizes: Mapping[str, int],
) -> str:
    """An activation with its axes in the order that a product of matrices needs them in."""
    order = _order([x for x in term if sizes[x] > 1], [x for x in wanted if sizes[x] > 1])
    if not order or mapper.is_constant(name):
        return name
    shape = tuple(sizes[x] for x in wanted)
    turned = mapper.temporary(f"{node.outputs[0]}/{name}", shape, name)
    mapper.record("copy", node, [name], turned, act=permuted(order))
    return turned


def _order(term: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Positions of axes in the order they are wanted in; none where they have it."""
    order = [term.index(x) for x in wanted if x in term]
    return [] if order == sorted(order) else order


def _linear_to(
    mapper: Mapper, node: Node, names: tuple[str, str], sizes: tuple[int, int, int], output: str
) -> None:
    inner, outer, rows = sizes
    mapper.record(
        "linear",
        node,
        [names[0]],
        output,
        weights=[names[1]],
        in_channels=inner,
        out_channels=outer,
        in_height=rows,
        in_width=1,
        out_height=rows,
        out_width=1,
    )


def _subscripts(equation: str, shapes: Sequence[Sequence[int]]) -> tuple[list[str], str]:
    """The letters of each operand and of the result; those of ``...`` are capital Greek."""
    equation = equation.replace(" ", "")
    inputs, arrow, result = equation.partition("->")
    terms = inputs.split(",")
    dotted = max(
        (
            len(s) - len(t.replace("...", ""))
            for t, s in zip(terms, shapes, strict=True)
            if "..." in t
        ),
        default=0,
    )
    extra = "".join(chr(0x391 + k) for k in range(dotted))

    def spelled(term: str, rank: int) -> str:
        missing = rank - len(term.replace("...", ""))
        return term.replace("...", extra[dotted - missing :] if missing else "")

    spelled_terms = [spelled(t, len(s)) for t, s in zip(terms, shapes, strict=True)]
    if not arrow:
        letters = "".join(terms).replace("...", "")
        result = extra + "".join(sorted(x for x in set(letters) if letters.count(x) == 1))
    return spelled_terms, result.replace("...", extra)
