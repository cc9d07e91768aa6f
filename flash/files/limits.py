"""Bounds that every reader of files keeps; what exceeds one is refused, naming the bound.

With them no input takes more than 2 GB of memory or 20 s to be read or refused.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CSV_FIELD_BYTES",
    "EXPANSION",
    "JSON_BYTES",
    "LINES_BYTES",
    "LINE_CHARACTERS",
    "NESTING",
    "TEXT_BYTES",
    "TOML_BYTES",
    "UNPACKED_BYTES",
]

_MIB: Final = 2**20

#: A TOML document (a space, a profile). Python's reader takes about a second a MiB.
TOML_BYTES: Final = 8 * _MIB
#: A JSON document. A front of 50,000 designs has 40 MiB; empty lists take 20 times their text.
JSON_BYTES: Final = 64 * _MIB
#: A file read line by line: measurements, designs. A million measurements have 200 MiB.
LINES_BYTES: Final = 512 * _MIB
#: One of its lines. The longest of ours, a network with all its kernels, has 100,000.
LINE_CHARACTERS: Final = 4 * _MIB
#: A text that is held whole: tables of results, journals. A character may take four bytes there.
TEXT_BYTES: Final = 128 * _MIB
#: One field of a CSV file: Python's own default.
CSV_FIELD_BYTES: Final = 128 * 2**10
#: Lists and tables within one another. Nothing of ours has more than six.
NESTING: Final = 64
#: All members of an archive (npz, suite) unpacked.
UNPACKED_BYTES: Final = 2**31
#: Unpacked over packed size of an archive's member: deflate reaches 1032, images at most 50.
EXPANSION: Final = 1_100
