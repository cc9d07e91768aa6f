"""Docstrings as the reference of the site shows them: an extension of griffe, see ``mkdocs.yml``.

flash's docstrings describe parameters and fields in lines ``name: words``, further lines indented.
Here they become a list, doctests become blocks of code, and double backquotes single ones.
"""

from __future__ import annotations

import re
from typing import Any

try:
    from griffe import Extension
except ImportError:  # only the site needs it; tests do without
    Extension = object

__all__ = ["Lists", "listed"]

#: ``name: words``, several names by comma, or two such on one line (two blanks between them).
_ITEM = re.compile(r"^((?:\w+)(?:, \w+)*):\s+(\S.*)$")
_DOUBLE = re.compile(r"(?<!`)``(?!`)")
_SECOND = re.compile(r"(?<=[.)\w])  (?=\w+: )")


def listed(text: str) -> str:
    """A docstring as Markdown.

    >>> print(listed("Search.\\n\\na, b: two\\n      names.  c: three"))
    Search.
    <BLANKLINE>
    - **a, b**: two names.
    - **c**: three
    """
    blocks = [_block(block) for block in re.split(r"\n[ \t]*\n", text.strip())]
    return _DOUBLE.sub("`", "\n\n".join(blocks))


def _block(block: str) -> str:
    lines = block.splitlines()
    example = next((k for k, line in enumerate(lines) if line.startswith(">>>")), None)
    if example is not None:
        code = "\n".join(["```python", *lines[example:], "```"])
        return f"{_block(chr(10).join(lines[:example]))}\n\n{code}" if example else code
    if not _ITEM.match(lines[0]):
        return block
    items: list[str] = []
    for line in (part for whole in lines for part in _SECOND.split(whole.rstrip())):
        found = _ITEM.match(line)
        if found:
            items.append(f"- **{found[1]}**: {found[2]}")
        elif line[:1].isspace() or items[-1].startswith("- "):
            items[-1] += f" {line.strip()}"
    return "\n".join(items)


class Lists(Extension):  # type: ignore[misc]
    """Rewrites every docstring before it is rendered."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = listed(obj.docstring.value)
