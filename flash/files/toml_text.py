"""TOML written: what ``tomllib`` reads, it reads back as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["toml_text"]

#: A key that needs no quotes.
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(document: Mapping[str, Any]) -> str:
    """A document of strings, numbers, truth values, lists and tables as TOML.

    Values of a table stand before its tables; raises ``ValueError`` for any other kind of value.

    >>> print(toml_text({"name": "a", "size": {"rows": [1, 2]}}), end="")
    name = "a"
    <BLANKLINE>
    [size]
    rows = [1, 2]
    """
    return "\n".join(_table((), document)).lstrip("\n") + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> list[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_value(v)}" for key, v in table.items() if key not in inner]
    if path and (lines or not inner):
        lines = ["", f"[{'.'.join(map(_key, path))}]", *lines]
    for key, value in inner.items():
        lines += _table((*path, key), value)
    return lines


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(k)} = {_value(v)}' for k, v in value.items())} }}"
    raise ValueError(f"TOML is not written for {type(value).__name__}")


def _text(text: str) -> str:
    # JSON's escapes are TOML's, which refuses one more character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
