"""Designs or ONNX files -> metrics, and costs on a target: ``python -m flash.estimate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.estimate.command import estimate

__all__ = ["estimate"]

__getattr__ = lazily(__name__, {"estimate": ("command", "")})
