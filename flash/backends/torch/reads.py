"""Where a module's Python code reads numbers that its input decides.

A branch or a loop over such a number is not in the graph that a tracer records: it holds the
branch and the turns that the example's numbers lead to.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

__all__ = ["Reads"]

#: What turns a tensor's numbers into Python's.
_READING: Final = frozenset(
    ("__bool__", "__int__", "__index__", "__float__", "__complex__", "__contains__", "__array__")
    + ("item", "tolist", "numpy", "equal", "allclose", "is_nonzero")
)
#: Where PyTorch's own files are.
_PYTORCH: Final = str(Path(torch.__file__).parent) + os.sep
#: Places named in a sentence, and characters of their source that it shows.
_MOST_NAMED: Final = 3
_MOST_SHOWN: Final = 60


class Reads:
    """Watches what runs inside ``with``: ``places`` are (file, line), in order, each once.

    inputs: the tensors whose numbers are asked about. Sizes are no such numbers, and neither is
            what is computed from parameters alone.
    """

    def __init__(self, inputs: Sequence[torch.Tensor]) -> None:
        self.places: dict[tuple[str, int], None] = {}
        self._from_input: Any = WeakIdKeyDictionary(dict.fromkeys(inputs, True))
        self._modes = ExitStack()
        self._outside: FrameType | None = None

    def __enter__(self) -> Reads:
        self._outside = sys._getframe(1)
        self._modes.enter_context(_Following(self._follow))
        self._modes.enter_context(_Reading(self._read))
        return self

    def __exit__(self, *error: object) -> None:
        self._modes.close()

    def note(self) -> str:
        """A sentence on what a figure rests on; empty where nothing was read."""
        if not self.places:
            return ""
        named = [_place(*place) for place in self.places][:_MOST_NAMED]
        if more := len(self.places) - len(named):
            named.append(f"{more} more")
        places = " and ".join(named)
        return (
            f"the module reads numbers that its input decides, at {places}: the figures hold for "
            "the branches and turns that the example leads to"
        )

    def _depends(self, given: Any) -> bool:
        return any(x in self._from_input for x in _tensors(given))

    def _follow(self, name: str, given: Any, made: Any) -> None:
        # zeros_like, new_full: the tensor says which size, type and device.
        if name.endswith("_like") or name.startswith("new_") or not self._depends(given):
            return
        for x in _tensors(made):
            self._from_input[x] = True
            if x._base is not None:  # written into a part of another tensor
                self._from_input[x._base] = True

    def _read(self, name: str, given: Any) -> None:
        if name in _READING and self._depends(given):
            self.places[self._reader(sys._getframe(2))] = None

    def _reader(self, innermost: FrameType) -> tuple[str, int]:
        """File and line of the innermost code that is not PyTorch's; of PyTorch's if all is."""
        frame: FrameType | None = innermost
        while frame is not None and frame is not self._outside:
            if not frame.f_code.co_filename.startswith(_PYTORCH):
                return frame.f_code.co_filename, frame.f_lineno
            frame = frame.f_back
        return innermost.f_code.co_filename, innermost.f_lineno


class _Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tells of each operation that PyTorch runs, in whatever language it was called."""

    #: torch.cond and the like are passed on, too.
    supports_higher_order_operators = True

    def __init__(self, tell: Callable[[str, Any, Any], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tell = tell

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self._tell(str(func.__name__).partition(".")[0], (args, kwargs), made)
        return made


class _Reading(TorchFunctionMode):
    """Tells of each of PyTorch's functions that Python code calls."""

    def __init__(self, tell: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._tell(getattr(func, "__name__", ""), (args, kwargs))
        return func(*args, **(kwargs or {}))


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    return (x for x in tree_leaves(values) if isinstance(x, torch.Tensor))


def _place(file: str, line: int) -> str:
    source = linecache.getline(file, line).strip()
    shown = source if len(source) <= _MOST_SHOWN else f"{source[: _MOST_SHOWN - 3]}..."
    return f"{Path(file).name}:{line}" + (f" ({shown})" if shown else "")
