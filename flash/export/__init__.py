"""Designs of a front -> files to ship, with a manifest: ``python -m flash.export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.export.command import export
    from flash.export.torch_file import load_torch

__all__ = ["export", "load_torch"]

__getattr__ = lazily(__name__, {"export": ("command", ""), "load_torch": ("torch_file", "")})
