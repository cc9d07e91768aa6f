"""An ONNX file without the numbers of its large weights: what costs are made of, and no more.

A model is a tree of protobuf messages (https://protobuf.dev/programming-guides/encoding): fields,
each a key, a length and bytes. Initializers of more elements than anyone reads the values of are
copied without their numbers, whose bytes are passed over in the file. They are marked as stored
elsewhere, which is what they are then. Everything else is copied as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import BinaryIO, Final

from flash.backends.onnx.ir.graph import SMALL

__all__ = ["TooManyNodesError", "bytes_without_weights"]

#: Numbers of fields in onnx.proto: ModelProto.graph, GraphProto's, TensorProto's.
_GRAPH: Final = 7
_NODE: Final = 1
_INITIALIZER: Final = 5
_DIMS: Final = 1
#: float_data, int32_data, string_data, int64_data, raw_data, double_data, uint64_data.
_NUMBERS: Final = frozenset({4, 5, 6, 7, 9, 10, 11})
#: data_location = EXTERNAL, as bytes of a field.
_ELSEWHERE: Final = bytes([14 << 3, 1])
#: A tensor of fewer bytes is copied whole.
_SMALL_BYTES: Final = 1 << 14
#: A file of fewer bytes is quicker to read than to look through.
_SMALL_FILE: Final = 1 << 22
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 10


class _Odd(Exception):
    """The file is not what such a file is: let protobuf say so."""


class TooManyNodesError(Exception):
    """The graph has more nodes than are read: protobuf would take gigabytes for them."""


def bytes_without_weights(stream: BinaryIO, most_nodes: int) -> bytes:
    """The model in a file; the whole file where it is not one that can be read in passing.

    Raises ``TooManyNodesError`` where a large file's graph has more than ``most_nodes``.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    if size > _SMALL_FILE:
        try:
            return b"".join(_model(stream, size, most_nodes))
        except _Odd:
            stream.seek(0)
    return stream.read()


def _model(stream: BinaryIO, end: int, most_nodes: int) -> Iterator[bytes]:
    for tag, rest, number, size in _fields(stream, end):
        if number == _GRAPH and size is not None:
            graph = b"".join(_graph(stream, stream.tell() + size, most_nodes))
            yield tag + _varint(len(graph)) + graph
        else:
            yield tag + rest + stream.read(size or 0)


def _graph(stream: BinaryIO, end: int, most_nodes: int) -> Iterator[bytes]:
    nodes = 0
    for tag, rest, number, size in _fields(stream, end):
        nodes += number == _NODE
        if nodes > most_nodes:
            raise TooManyNodesError
        if number == _INITIALIZER and size is not None and size > _SMALL_BYTES:
            start = stream.tell()
            tensor = _tensor(stream, start + size)
            if tensor is not None:
                yield tag + _varint(len(tensor)) + tensor
                continue
            stream.seek(start)
        yield tag + rest + stream.read(size or 0)


def _tensor(stream: BinaryIO, end: int) -> bytes | None:
    """A tensor without its numbers; None if it is so small that they count."""
    kept, dims = list[bytes](), list[int]()
    for tag, rest, number, size in _fields(stream, end):
        if number in _NUMBERS:
            stream.seek(size or 0, 1)
            continue
        content = stream.read(size or 0)
        kept.append(tag + rest + content)
        if number == _DIMS:
            dims += _packed(content if size is not None else rest)
    return None if prod(dims) <= SMALL else b"".join(kept) + _ELSEWHERE


def _fields(stream: BinaryIO, end: int) -> Iterator[tuple[bytes, bytes, int, int | None]]:
    """Each field up to ``end``: its tag, its length or value, its number, how many bytes follow.

    None follow (None) but where the second is a length; who takes a field reads or passes these.
    """
    while stream.tell() < end:
        tag = _take_varint(stream)
        number, kind = divmod(_read_varint(tag), 8)
        size: int | None = None
        if kind == _BYTES:
            rest = _take_varint(stream)
            size = _read_varint(rest)
        elif kind == _VARINT:
            rest = _take_varint(stream)
        elif kind in (_FIXED32, _FIXED64):
            rest = stream.read(4 if kind == _FIXED32 else 8)
        else:
            raise _Odd
        following = stream.tell() + (size or 0)
        if following > end or number == 0:
            raise _Odd
        yield tag, rest, number, size
        if stream.tell() != following:
            raise _Odd


def _take_varint(stream: BinaryIO) -> bytes:
    taken = b""
    while len(taken) < _LONGEST_VARINT:
        byte = stream.read(1)
        taken += byte
        if not byte:
            break
        if byte[0] < 0x80:
            return taken
    raise _Odd


def _read_varint(taken: bytes) -> int:
    return sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(taken))


def _varint(value: int) -> bytes:
    taken = bytearray()
    while value >= 0x80:
        taken.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*taken, value])


def _packed(content: bytes) -> list[int]:
    """Numbers packed into one field."""
    values, start = list[int](), 0
    for place, byte in enumerate(content):
        if byte < 0x80:
            values.append(_read_varint(content[start : place + 1]))
            start = place + 1
    return values
