"""Control flow and lists of tensors, resolved as far as they are known before the network runs.

Requires: the order of execution, and constants folded up to the node that is asked about.
Ensures: no ``If``, no ``Loop``, no ``Scan``, no list of tensors and no optional one.

The branch that an ``If`` takes stands in its place. A loop becomes the nodes of its turns, one
turn after the other: how often a ``Scan`` turns is the length of what it scans; a ``Loop`` says
it by a number, or by a condition that its turns compute of constants. What each turn gives is
joined at the end. A turn's part of a scanned tensor is a view (``flash.Part``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto

from flash.backends.onnx.ir.graph import Constant, Graph, Node, add_stored, node_of
from flash.backends.onnx.passes.axes import choices

__all__ = ["MOST_TURNED", "Unrolling"]

#: Nodes that the turns of one loop become: a second or two of reading.
MOST_TURNED: Final = 40_000
#: Attribute of an inlined node with a body: what the body calls by name -> its name now.
_SCOPE: Final = "flash.scope"
#: The next turn of a loop, where it stands in the order of execution.
_TURN: Final = "flash.Turn"
_BODIES: Final = ("If", "Loop", "Scan")
_CHOICE: Final = (
    "its condition is only known when it runs: export the branch that is taken, or give the "
    "value of the input that decides ({})"
)
_TURNS: Final = (
    "its number of turns is only known when it runs: export the loop unrolled, or its body as a "
    "model of its own"
)
_ENDLESS: Final = (
    "its turns are more than {:,} nodes, the limit: export its body as a model of its own"
)
_LIST: Final = "which tensors its list holds is only known when it runs"


@dataclass(slots=True)
class _Loop:
    """A loop that is being unrolled.

    limit:   turns at most; None where only the condition says.
    scanned: tensors that a turn takes a part of, with axis and whether from the end.
    joined:  what each turn gave, a list for each result that is joined; ``axes`` say along what.
    """

    node: Node
    body: onnx.GraphProto
    prefix: str
    limit: int | None
    carries: int
    conditional: bool
    scanned: Sequence[tuple[str, int, bool]] = ()
    axes: Sequence[tuple[int, bool]] = ()
    joined: list[list[str]] = field(default_factory=list)
    turn: int = 0
    size: int = 0


class Unrolling:
    """Opens nodes in their order; knows which tensors are others by another name."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._aliases: dict[str, str] = {}
        self._lists: dict[str, list[str]] = {}

    def opened(self, node: Node) -> list[Node] | None:
        """The nodes that stand in a node's place; None for one that stays.

        Its inputs get their final names. Raises ``InputError`` for what cannot be known.
        """
        node.inputs = [self._final(name) for name in node.inputs]
        opener = _OPENERS.get(node.op)
        if opener is None:
            return None
        return opener(self, node)

    def final(self, names: Iterable[str]) -> list[str]:
        """Tensors under the names that their makers give; of lists, what they hold."""
        found: list[str] = []
        for name in map(self._final, names):
            found += self.final(self._lists[name]) if name in self._lists else [name]
        return found

    def _final(self, name: str) -> str:
        while name in self._aliases:
            name = self._aliases[name]
        return name

    # --------------------------------------------------------------------------- control flow
    def choose(self, node: Node) -> list[Node]:
        """An ``If``: the branch that is taken."""
        condition = self.graph.known(node.input(0))
        if condition is None or condition.size != 1:
            asked = choices(self.graph) or "--input NAME=16000"
            raise self.graph.refusal(node, _CHOICE.format(asked))
        branch = node.attributes["then_branch" if condition.item() else "else_branch"]
        prefix = f"{_label(node)}/"
        nodes, results = self._inlined(node, branch, prefix, prefix, {})
        self._aliases |= dict(zip(filter(None, node.outputs), results, strict=False))
        return nodes

    def loop(self, node: Node) -> list[Node]:
        """A ``Loop``: at most so many turns, while a condition holds."""
        body, limit = node.attributes["body"], self.graph.known(node.input(0))
        if node.input(0) and limit is None:
            raise self.graph.refusal(node, _TURNS)
        state = _Loop(
            node,
            body,
            f"{_label(node)}/",
            None if limit is None else int(limit.item()),
            len(node.inputs) - 2,
            True,
        )
        state.joined = [[] for _ in body.output[1 + state.carries :]]
        state.axes = [(0, False)] * len(state.joined)
        return [Node(_TURN, node.name, [node.input(1), *node.inputs[2:]], [], {"loop": state})]

    def scan(self, node: Node) -> list[Node]:
        """A ``Scan``: a turn for each part of what it scans."""
        if self.graph.opsets.get("", 9) < 9:
            raise self.graph.refusal(node, "its form before opset 9 is not read")
        attributes, body = node.attributes, node.attributes["body"]
        count = attributes["num_scan_inputs"]
        carries = len(node.inputs) - count
        names = node.inputs[carries:]
        axes = attributes.get("scan_input_axes") or [0] * count
        back = attributes.get("scan_input_directions") or [0] * count
        for name in names:
            if name not in self.graph.values and name not in self.graph.constants:
                raise self.graph.refusal(node, _TURNS)
        scanned = [
            (name, axis % len(self.graph.shape(name)), bool(turned))
            for name, axis, turned in zip(names, axes, back, strict=True)
        ]
        lengths = {self.graph.shape(name)[axis] for name, axis, _ in scanned}
        if len(lengths) != 1:
            raise self.graph.refusal(node, "what it scans is not of one length")
        joined = len(body.output) - carries
        out_axes = attributes.get("scan_output_axes") or [0] * joined
        out_back = attributes.get("scan_output_directions") or [0] * joined
        state = _Loop(
            node,
            body,
            f"{_label(node)}/",
            lengths.pop(),
            carries,
            False,
            scanned,
            [(axis, bool(turned)) for axis, turned in zip(out_axes, out_back, strict=True)],
            [[] for _ in range(joined)],
        )
        return [Node(_TURN, node.name, ["", *node.inputs[:carries]], [], {"loop": state})]

    def turn(self, node: Node) -> list[Node]:
        """The nodes of a loop's next turn and what follows them, or what joins its results."""
        state: _Loop = node.attributes["loop"]
        if not self._goes_on(state, node.input(0)):
            return self._joined(state, node.inputs[1:])
        prefix = f"{state.prefix}{state.turn}/"
        given = [x.name for x in state.body.input]
        nodes: list[Node] = []
        parts = [f"{prefix}part/{k}" for k in range(len(state.scanned))]
        for part, (name, axis, back) in zip(parts, state.scanned, strict=True):
            index = state.limit - 1 - state.turn if back and state.limit else state.turn
            at = {"axis": axis, "index": index}
            nodes.append(Node("flash.Part", part, [name], [part], at))
        outer = dict(zip(given[2 if state.conditional else 0 :], node.inputs[1:], strict=False))
        if state.conditional:
            for name, value in zip(given, (np.array(state.turn), np.array(True)), strict=False):
                outer[name] = f"{prefix}{name}"
                kind = TensorProto.BOOL if value.dtype == bool else TensorProto.INT64
                self.graph.constants[outer[name]] = Constant((), kind, value)
        else:
            outer |= dict(zip(given[state.carries :], parts, strict=True))
        inner, results = self._inlined(state.node, state.body, state.prefix, prefix, outer)
        state.turn += 1
        state.size += len(inner) + 1
        if state.size > MOST_TURNED:
            raise self.graph.refusal(state.node, _ENDLESS.format(MOST_TURNED))
        first = 1 if state.conditional else 0
        condition = results[0] if state.conditional else ""
        carried = results[first : first + state.carries]
        for each, result in zip(state.joined, results[first + state.carries :], strict=True):
            each.append(result)
        following = Node(_TURN, node.name, [condition, *carried], [], {"loop": state})
        return [*nodes, *inner, following]

    def _goes_on(self, state: _Loop, condition: str) -> bool:
        if state.limit is not None and state.turn >= state.limit:
            return False
        if not condition:
            return True
        known = self.graph.known(condition)
        if known is None or known.size != 1:
            raise self.graph.refusal(state.node, _TURNS)
        return bool(known.item())

    def _joined(self, state: _Loop, carried: Sequence[str]) -> list[Node]:
        """Results: what the last turn carried on, then what all turns gave."""
        outputs = state.node.outputs
        self.graph.turned[state.node.label] = state.turn
        for output, name in zip(outputs[: state.carries], carried, strict=False):
            if output:
                self._aliases[output] = name
        nodes = []
        for output, names, (axis, back) in zip(
            outputs[state.carries :], state.joined, state.axes, strict=False
        ):
            if output and not names:
                raise self.graph.refusal(state.node, "it makes no turn")
            if output:
                order = names[::-1] if back else names
                nodes.append(Node("flash.Stack", output, order, [output], {"axis": axis}))
        return nodes

    def _inlined(
        self,
        node: Node,
        body: onnx.GraphProto,
        kept: str,
        prefix: str,
        given: Mapping[str, str],
    ) -> tuple[list[Node], list[str]]:
        """A body's nodes under names of their own, and the names of its results.

        kept:   begins the names of stored tensors, which are the same in every turn.
        prefix: begins those of what is computed.
        given:  the body's inputs -> the tensors that they are.
        """
        scope: dict[str, str] = {**node.attributes.get(_SCOPE, {}), **given}
        nodes: list[Node] = []
        stored = {tensor.name: tensor for tensor in body.initializer}
        for proto in body.node:
            made = node_of(proto)
            tensor = made.attributes.get("value") if made.op == "Constant" else None
            if isinstance(tensor, TensorProto):
                stored[made.outputs[0]] = tensor
            else:
                nodes.append(made)
                scope |= {name: prefix + name for name in made.outputs if name}
        for name, tensor in stored.items():
            scope[name] = kept + name
            if kept + name not in self.graph.constants:
                add_stored(self.graph, kept + name, tensor)
        for made in nodes:
            if made.op in _BODIES:
                made.attributes[_SCOPE] = scope
            made.inputs = [self._final(scope.get(name, name)) for name in made.inputs]
            made.outputs = [prefix + name if name else "" for name in made.outputs]
        return nodes, [self._final(scope.get(x.name, x.name)) for x in body.output]

    # ------------------------------------------------------------------------ lists of tensors
    def _list(self, node: Node) -> list[str]:
        if node.input(0) not in self._lists:
            raise self.graph.refusal(node, _LIST)
        return self._lists[node.input(0)]

    def _position(self, node: Node, position: int, length: int, last: int) -> int:
        """A place in a list, by an input or else the last."""
        if not node.input(position):
            return last
        known = self.graph.known(node.input(position))
        if known is None or known.size != 1:
            raise self.graph.refusal(node, _LIST)
        return int(known.item()) % max(length, 1) if known.item() < 0 else int(known.item())

    def construct(self, node: Node) -> list[Node]:
        """``SequenceConstruct`` and ``SequenceEmpty``."""
        self._lists[node.outputs[0]] = list(node.inputs)
        return []

    def insert(self, node: Node) -> list[Node]:
        """``SequenceInsert``: at the end, or before a place."""
        names = self._list(node)
        place = self._position(node, 2, len(names), len(names))
        self._lists[node.outputs[0]] = [*names[:place], node.input(1), *names[place:]]
        return []

    def erase(self, node: Node) -> list[Node]:
        """``SequenceErase``: the last, or that of a place."""
        names = self._list(node)
        place = self._position(node, 1, len(names), len(names) - 1)
        self._lists[node.outputs[0]] = [*names[:place], *names[place + 1 :]]
        return []

    def at(self, node: Node) -> list[Node]:
        """``SequenceAt``: the tensor itself."""
        names = self._list(node)
        place = self._position(node, 1, len(names), 0)
        if not 0 <= place < len(names):
            raise self.graph.refusal(node, f"its list holds {len(names)} tensors")
        self._aliases[node.outputs[0]] = names[place]
        return []

    def length(self, node: Node) -> list[Node]:
        """``SequenceLength``: a number."""
        value = np.array(len(self._list(node)))
        self.graph.constants[node.outputs[0]] = Constant((), TensorProto.INT64, value)
        return []

    def split(self, node: Node) -> list[Node]:
        """``SplitToSequence``: parts of a tensor."""
        source, output = node.input(0), node.outputs[0]
        if source not in self.graph.values and source not in self.graph.constants:
            raise self.graph.refusal(node, _LIST)
        shape = self.graph.shape(source)
        axis = node.attributes.get("axis", 0) % len(shape)
        size, wanted = shape[axis], self.graph.known(node.input(1))
        if node.input(1) and wanted is None:
            raise self.graph.refusal(node, _LIST)
        if wanted is None:
            sizes = [1] * size
        elif wanted.ndim:
            sizes = [int(n) for n in wanted]
        else:
            each = max(int(wanted), 1)
            sizes = [min(each, size - start) for start in range(0, size, each)]
        names = [f"{output}/{k}" for k in range(len(sizes))]
        self._lists[output] = names
        if wanted is None and not node.attributes.get("keepdims", 1):
            return [
                Node("flash.Part", name, [source], [name], {"axis": axis, "index": k})
                for k, name in enumerate(names)
            ]
        inputs, attributes = [source], {"axis": axis, "split": sizes}
        if self.graph.opsets.get("", 13) >= 13:
            value = np.array(attributes.pop("split"), dtype=np.int64)
            inputs.append(f"{output}/sizes")
            self.graph.constants[inputs[1]] = Constant(value.shape, TensorProto.INT64, value)
        return [Node("Split", node.name, inputs, names, attributes)]

    def join(self, node: Node) -> list[Node]:
        """``ConcatFromSequence``: along an axis, or along a new one."""
        names, new = self._list(node), node.attributes.get("new_axis", 0)
        op = "flash.Stack" if new else "Concat"
        return [Node(op, node.name, list(names), node.outputs, {"axis": node.attributes["axis"]})]

    def optional(self, node: Node) -> list[Node] | None:
        """``Optional`` and ``OptionalGetElement``: the tensor or list itself."""
        if not node.input(0):
            raise self.graph.refusal(node, "it holds nothing")
        self._aliases[node.outputs[0]] = node.input(0)
        return []

    def has_element(self, node: Node) -> list[Node]:
        """``OptionalHasElement``: whatever is there is there."""
        value = np.array(bool(node.input(0)))
        self.graph.constants[node.outputs[0]] = Constant((), TensorProto.BOOL, value)
        return []

    def same(self, node: Node) -> list[Node] | None:
        """``Identity`` of a list; of a tensor it stays."""
        if node.input(0) not in self._lists:
            return None
        self._aliases[node.outputs[0]] = node.input(0)
        return []


def _label(node: Node) -> str:
    """A name that no other node has: results have one maker."""
    return next(filter(None, node.outputs), node.name)


_OPENERS: Final[Mapping[str, Callable[[Unrolling, Node], list[Node] | None]]] = {
    "If": Unrolling.choose,
    "Loop": Unrolling.loop,
    "Scan": Unrolling.scan,
    _TURN: Unrolling.turn,
    "SequenceConstruct": Unrolling.construct,
    "SequenceEmpty": Unrolling.construct,
    "SequenceInsert": Unrolling.insert,
    "SequenceErase": Unrolling.erase,
    "SequenceAt": Unrolling.at,
    "SequenceLength": Unrolling.length,
    "SplitToSequence": Unrolling.split,
    "ConcatFromSequence": Unrolling.join,
    "Optional": Unrolling.optional,
    "OptionalGetElement": Unrolling.optional,
    "OptionalHasElement": Unrolling.has_element,
    "Identity": Unrolling.same,
}
