"""Models priced as the graph that their runtime makes of them (``--optimized-by onnxruntime``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flash.errors import UsageError, did_you_mean
from flash.spaces.network import Network
from flash.targets import RunsGraphs, Target

__all__ = ["OPTIMIZERS", "Optimised"]

#: What can be asked for the graph that it would run.
OPTIMIZERS: Final = ("onnxruntime",)


@dataclass
class Optimised:
    """Graphs of models as a runtime on this machine optimises them, each made once.

    by: one of ``OPTIMIZERS``. input_shape, inputs: sizes that models leave free.
    """

    by: str
    input_shape: Sequence[int] | None = None
    inputs: Mapping[str, Sequence[float]] | None = None
    _made: dict[tuple[str, bool], Network] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.by not in OPTIMIZERS:
            hint = did_you_mean(self.by, OPTIMIZERS) or f"; known: {', '.join(OPTIMIZERS)}"
            raise UsageError(f"--optimized-by {self.by}: nobody to ask{hint}")

    def check(self, targets: Sequence[Target]) -> None:
        """Raise ``UsageError`` for no target, and for one that another runtime runs."""
        if not targets:
            raise UsageError("--optimized-by needs a --target: only costs depend on it")
        for target in targets:
            self._of_target(target)

    def of(self, name: str, source: Any, target: Target) -> tuple[Network, Target]:
        """The kernels that are run for a model, and the target that prices them so.

        source: an ONNX file or a model in memory; ``name`` tells models apart.
        """
        from flash.backends import optimised_network  # noqa: PLC0415 (an extra)

        as_read, blocks = self._of_target(target)
        if source is None:
            raise UsageError(f"--optimized-by {self.by}: {name} is no file that it could read")
        if (name, blocks) not in self._made:
            self._made[name, blocks] = optimised_network(
                source, self.input_shape, self.inputs, blocks=blocks
            )
        return self._made[name, blocks], as_read

    def _of_target(self, target: Target) -> tuple[Target, bool]:
        if not isinstance(target, RunsGraphs):
            raise UsageError(f"--optimized-by {self.by}: {target.name} does not run its graphs")
        return target.of_optimised(self.by)
