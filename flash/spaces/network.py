"""One design as a graph: the view that exporters, runtimes and single-network tools read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flash.spaces.emitter import Emitter
from flash.spaces.layers import ZEROS, Flags, Ints, Layer, Tensor, layer_macs, layer_params

__all__ = ["GraphEmitter", "Network"]


@dataclass(frozen=True, slots=True)
class Network:
    """Layers in execution order; the inputs of each name the layers that produce them.

    ``source`` is the network's input, ``output`` the tensor it returns. ``lone_sums`` are sums
    of fewer than two tensors, which are no layers (see ``Emitter.add``). Of a network from a file,
    ``notes`` are sentences about how it was read, ``input_names`` what it calls its inputs, and
    tensors whose value was given. Inputs beside the first are layers ``input``; several outputs are
    what a last layer ``output`` reads. ``designed``: it is a design of a space, and priced as the
    space's table is.
    """

    layers: tuple[Layer, ...]
    source: Tensor
    output: Tensor
    lone_sums: tuple[Layer, ...] = ()
    notes: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    designed: bool = False

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """All that the network returns."""
        producer = int(self.output.producer)
        if producer >= 0 and self.layers[producer].op == "output":
            return self.layers[producer].inputs
        return (self.output,)

    @property
    def params(self) -> int:
        """Trainable parameters, batch norm included."""
        return int(sum(layer_params(layer) for layer in self.layers))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return int(sum(layer_macs(layer) for layer in self.layers))

    def used(self) -> Network:
        """Without the layers whose result never reaches the output (a graph runtime's view)."""
        return self._needed_for({int(self.output.producer)})

    def kept(self) -> Network:
        """What is used, and convolutions whose result nothing reads with what feeds them."""
        read = {int(x.producer) for layer in self.layers for x in layer.inputs if x.present}
        unread = {n for n, x in enumerate(self.layers) if x.op == "conv" and n not in read}
        return self._needed_for({int(self.output.producer)} | unread)

    def _needed_for(self, needed: set[int]) -> Network:
        for number in range(len(self.layers) - 1, -1, -1):
            if number in needed:
                needed |= {int(x.producer) for x in self.layers[number].inputs if x.present}
        return self._only(needed)

    def live(self) -> Network:
        """Only what lies on a path from the input to the output."""
        return self.fed().used()

    def fed(self) -> Network:
        """Only what depends on the input, whether its result is used or not."""
        return self._only({n for n, layer in enumerate(self.layers) if layer.signal})

    def _only(self, keep: set[int]) -> Network:
        """The layers in ``keep``, renumbered; what reads a removed layer reads zeros."""
        if all(n in keep for n in range(len(self.layers))):
            return self
        numbers = [n for n in range(len(self.layers)) if n in keep]
        renumbered = {old: new for new, old in enumerate(numbers)}

        def moved(x: Tensor) -> Tensor:
            old = int(x.producer)
            if old < 0:
                return x
            if old in renumbered:
                return replace(x, producer=renumbered[old])
            return replace(x, producer=ZEROS, present=False, signal=False)

        def rewired(layer: Layer) -> Layer:
            return replace(layer, inputs=tuple(moved(x) for x in layer.inputs))

        layers = tuple(rewired(self.layers[n]) for n in numbers)
        lone_sums = tuple(rewired(x) for x in self.lone_sums)
        return replace(self, layers=layers, output=moved(self.output), lone_sums=lone_sums)


class GraphEmitter(Emitter):
    """Records one design; every size is a plain integer."""

    def __init__(self) -> None:
        super().__init__()
        self._layers: list[Layer] = []
        self._lone_sums: list[Layer] = []

    def network(self, source: Tensor, output: Tensor) -> Network:
        """What was emitted so far, as a network from ``source`` to ``output``."""
        return Network(tuple(self._layers), source, output, tuple(self._lone_sums))

    def repeat(self, count: Ints, start: int = 0) -> Iterator[int]:
        return iter(range(start, int(count)))

    def merge(self, new: Tensor, old: Tensor) -> Tensor:
        return new

    def _record(
        self, layer: Layer, needed: Flags = True, otherwise: Tensor | None = None
    ) -> Tensor:
        if otherwise is not None and not needed:
            return otherwise
        self._layers.append(layer)
        return self._result(layer, len(self._layers) - 1)

    def _lone_sum(self, layer: Layer, needed: Flags, result: Tensor) -> Tensor:
        if not needed:
            return result
        self._lone_sums.append(layer)
        return replace(result, lone_sum=len(self._lone_sums) - 1)

    def _first_present(self, xs: Sequence[Tensor]) -> Tensor:
        return next((x for x in xs if x.present), xs[0])
