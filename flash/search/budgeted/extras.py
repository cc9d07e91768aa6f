"""Optional libraries of the strategies, imported when a strategy needs them."""

from __future__ import annotations

import importlib
from typing import Any

from flash.errors import UsageError

__all__ = ["optional"]


def optional(module: str, what: str, package: str) -> Any:
    """The module; raises ``UsageError`` naming the extra where ``package`` is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"{what} needs {package}, which is not installed: pip install "
            "'flash-codesign[strategies]'"
        ) from None
