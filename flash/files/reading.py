"""Input files, read strictly and within stated bounds (``flash.files.limits``).

A reader returns a value or raises ``InputError`` (or the kind of it that the caller names): one
line that begins with the file's path. Directories, devices, pipes and sockets are refused
without waiting for them.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import stat
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from flash.errors import InputError, shown
from flash.files.limits import (
    JSON_BYTES,
    LINE_CHARACTERS,
    LINES_BYTES,
    NESTING,
    TEXT_BYTES,
    TOML_BYTES,
)

__all__ = [
    "opened",
    "parse_json",
    "parse_toml",
    "read_bytes",
    "read_input",
    "read_json",
    "read_lines",
    "read_text",
    "read_toml",
    "separator_hint",
]

#: A path that these errors befall names nothing.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextlib.contextmanager
def opened(path: str | Path, kind: type[InputError] = InputError) -> Iterator[BinaryIO]:
    """A regular file opened for reading; what goes wrong while it is read is told as well."""
    try:
        # A pipe that nobody writes to would be waited for.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(handle).st_mode
            for is_kind, what in _KINDS:
                if is_kind(mode):
                    raise kind(f"{path}: cannot be read: it is {what}, no regular file")
            with os.fdopen(os.dup(handle), "rb") as file:
                yield file
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in _ABSENT:
            raise kind(f"no such file: {path}") from None
        raise kind(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        if "\0" not in str(path):
            raise
        raise kind(f"no such file: {shown(str(path))}") from error


def read_bytes(
    path: str | Path, kind: type[InputError] = InputError, most: int = TEXT_BYTES
) -> bytes:
    """The content of a regular file of at most ``most`` bytes."""
    with opened(path, kind) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise kind(f"{path}: has more than {most >> 20} MiB, the most that is read")
    return content


def read_text(path: str | Path, kind: type[InputError] = InputError, most: int = TEXT_BYTES) -> str:
    """The text of a file in UTF-8."""
    content = read_bytes(path, kind, most)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise kind(f"{path}: cannot be read: it is no UTF-8 text") from None


def read_lines(path: str | Path, kind: type[InputError] = InputError) -> Iterator[str]:
    """The lines of a file in UTF-8, with their ends, one at a time: for files of any length.

    A mark of UTF-8 at its beginning is left out.
    """
    with opened(path, kind) as file:
        if os.fstat(file.fileno()).st_size > LINES_BYTES:
            raise kind(f"{path}: has more than {LINES_BYTES >> 20} MiB, the most that is read")
        stream = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        try:
            while line := stream.readline(LINE_CHARACTERS):
                if len(line) == LINE_CHARACTERS:
                    raise kind(f"{path}: has a line of more than {LINE_CHARACTERS:,} characters")
                yield line
        except UnicodeDecodeError:
            raise kind(f"{path}: cannot be read: it is no UTF-8 text") from None


def read_input(file: str | Path, kind: type[InputError] = InputError) -> str:
    """The text of a file a user names, or of standard input for ``-``."""
    if str(file) != "-":
        return read_text(file, kind)
    if sys.stdin is None:
        raise kind("standard input is closed")
    try:
        text = sys.stdin.read(TEXT_BYTES + 1)
    except UnicodeDecodeError:
        raise kind("standard input: cannot be read: it is no UTF-8 text") from None
    except OSError as error:
        raise kind(f"standard input: cannot be read: {error.strerror}") from None
    if len(text) > TEXT_BYTES:
        raise kind(f"standard input: has more than {TEXT_BYTES >> 20} MiB, the most that is read")
    return text


def read_toml(path: str | Path, kind: type[InputError] = InputError) -> dict[str, Any]:
    """The document in a TOML file."""
    return parse_toml(read_text(path, kind, TOML_BYTES), path, kind)


def read_json(path: str | Path, kind: type[InputError] = InputError) -> Any:
    """The document in a JSON file."""
    return parse_json(read_text(path, kind, JSON_BYTES), path, kind)


def parse_toml(
    text: str, source: str | Path, kind: type[InputError] = InputError
) -> dict[str, Any]:
    """The TOML document in ``text``; ``source`` is named in messages."""
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one, so is a number of 5,000 digits
        raise kind(f"{source}: not valid TOML: {_why(error)}") from None
    except RecursionError:
        raise kind(f"{source}: not usable TOML: {_TOO_DEEP}") from None
    if _too_deep([document]):
        raise kind(f"{source}: not usable TOML: {_TOO_DEEP}")
    return document


def parse_json(text: str, source: str | Path, kind: type[InputError] = InputError) -> Any:
    """The JSON document in ``text``, without NaN, infinities and repeated keys."""
    try:
        if _brackets_too_deep(text):
            raise ValueError(_TOO_DEEP)
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise kind(f"{source}: not valid JSON at {place}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise kind(f"{source}: not valid JSON: {_why(error)}") from None


def separator_hint(header: str) -> str:
    """What to do about a table whose first line is separated by other marks than commas.

    >>> separator_hint("design;accuracy"), separator_hint("arch,top1")
    ('; separate columns by commas, decimals by points', '')
    """
    others = any(mark in header for mark in ";\t")
    return "; separate columns by commas, decimals by points" * others


_TOO_DEEP = f"lists or tables nested too deeply, more than {NESTING}"


def _why(error: Exception) -> str:
    """Python tells programmers about the digits of integers; users get a line."""
    return "a number of more than 4,300 digits" if "set_int_max" in f"{error}" else f"{error}"


_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")


def _brackets_too_deep(text: str) -> bool:
    """Looked at before parsing: a parser written in C may use up its stack."""
    if text.count("[") + text.count("{") <= NESTING:
        return False
    depth = 0
    for bracket in _NO_BRACKET.sub("", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > NESTING:
            return True
    return False


def _too_deep(level: Iterable[Any]) -> bool:
    """Level by level: dotted keys nest without any bracket."""
    for _ in range(NESTING + 1):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        ((name, _),) = counts.most_common(1)
        raise ValueError(f"the key {shown(name)} is there twice")
    return found
