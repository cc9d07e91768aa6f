"""NumPy files (``.npz``, ``.npy``): plain arrays only, their sizes known before they are read.

An archive tells each member's size twice, in its directory and in the array's own header; both
are checked against each other and against ``flash.files.limits`` first, so that no file of a few
kilobytes fills the memory. Objects (pickles) are never read.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from flash.errors import InputError, shown
from flash.files.limits import EXPANSION, UNPACKED_BYTES
from flash.files.reading import opened

__all__ = ["read_arrays"]

Array = NDArray[Any]

#: Members of an archive. Weights of a network have some hundreds.
_MOST_MEMBERS: Final = 10_000
#: A small member may well be that much larger than its packed form.
_SMALL_BYTES: Final = 2**20


def read_arrays(path: str | Path, kind: type[InputError] = InputError) -> Mapping[str, Array]:
    """The arrays of an ``.npz`` file by name; of a ``.npy`` file, its one under ``""``.

    Raises ``kind``, naming the file, for what is no such file, for one with anything but plain
    arrays, and for one of more than ``UNPACKED_BYTES``.
    """
    try:
        with opened(path, kind) as file:
            beginning = file.read(6)
            file.seek(0)
            if beginning == npy.MAGIC_PREFIX:
                size = file.seek(0, 2)
                file.seek(0)
                return {"": _array(file, size, f"{path}", kind)}
            with zipfile.ZipFile(file) as archive:
                _check(archive, path, kind)
                found = {}
                for member in archive.infolist():
                    name = member.filename.removesuffix(".npy")
                    with archive.open(member) as stream:
                        found[name] = _array(
                            stream, member.file_size, f"{path}: {shown(name)}", kind
                        )
                return found
    except OSError as error:
        raise kind(f"{path}: cannot be read: {error.strerror or error}") from None
    except (
        ValueError,
        TypeError,
        EOFError,
        KeyError,
        RuntimeError,
        NotImplementedError,
        SyntaxError,  # a header is a Python literal
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        raise kind(f"{path}: no .npy or .npz file of plain arrays, or a damaged one") from None


def _check(archive: zipfile.ZipFile, path: str | Path, kind: type[InputError]) -> None:
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise kind(f"{path}: has more than {_MOST_MEMBERS} arrays")
    if sum(member.file_size for member in members) > UNPACKED_BYTES:
        raise kind(f"{path}: has more than {UNPACKED_BYTES >> 20} MiB unpacked, the most read")
    for member in members:
        if member.file_size > _SMALL_BYTES + EXPANSION * member.compress_size:
            raise kind(f"{path}: {shown(member.filename)} claims to be more than it can hold")


def _array(stream: IO[bytes], size: int, what: str, kind: type[InputError]) -> Array:
    """The array in a stream of ``size`` bytes."""
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise kind(f"{what}: an array in a format of version {version}, which is not read")
    shape, fortran, dtype = readers[version](stream)
    if dtype.hasobject:
        raise kind(f"{what}: holds Python objects, which are not read")
    count = math.prod(shape)
    if count * dtype.itemsize > size - stream.tell():
        raise kind(f"{what}: claims the shape {shown(shape)}, more than it holds")
    content = bytearray(count * dtype.itemsize)
    view, filled = memoryview(content), 0
    while filled < len(content):
        part = stream.read(min(len(content) - filled, _SMALL_BYTES))
        if not part:
            raise kind(f"{what}: is cut off")
        view[filled : filled + len(part)] = part
        filled += len(part)
    flat = np.frombuffer(content, dtype=dtype, count=count)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
