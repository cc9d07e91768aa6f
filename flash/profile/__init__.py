"""Networks run on a device -> measurements: ``python -m flash.profile``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.profile.command import profile

__all__ = ["profile"]

__getattr__ = lazily(__name__, {"profile": ("command", "")})
