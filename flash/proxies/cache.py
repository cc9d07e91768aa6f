"""Scores kept on disk, so that nothing is computed twice and a killed run goes on."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType

from flash.errors import FlashError, InputError, shown
from flash.files.reading import opened
from flash.proxies.registry import PROXIES
from flash.spaces.network import Network

__all__ = ["Entry", "Key", "ScoreCache", "default_cache", "key_of", "network_digest"]


@dataclass(frozen=True, slots=True)
class Key:
    """What a score depends on. ``data``: digest of the real images, "" for random ones.

    version: of the proxy's numbers, see ``Proxy.version``.
    """

    network: str
    proxy: str
    seed: int
    batch: int
    data: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A score: None where the proxy said nothing, for this ``reason``."""

    value: float | None
    reason: str
    seconds: float


def key_of(digest: str, proxy: str, seed: int, batch: int | None, data: str = "") -> Key:
    """The key of a network's score; no batch stands for the proxy's own number."""
    known = PROXIES[proxy]
    return Key(digest, proxy, seed, batch or known.batch, data, known.version)


def network_digest(network: Network) -> str:
    """SHA-256 of all that decides what the live network computes; names do not count."""
    live = network.live()
    found = hashlib.sha256()
    for layer in live.layers:
        inputs = [(int(x.producer), bool(x.present), int(x.channels)) for x in layer.inputs]
        numbers = (
            layer.cell,
            layer.in_channels,
            layer.out_channels,
            layer.in_height,
            layer.in_width,
            layer.out_height,
            layer.out_width,
            layer.kernel_height,
            layer.kernel_width,
            layer.stride,
            layer.pad_height,
            layer.pad_width,
            layer.groups,
            layer.norm,
            layer.bias,
            # Keys of all others are as they were without it.
            *((layer.dilation,) if layer.dilation != 1 else ()),
        )
        found.update(repr((layer.op, layer.act, inputs, [int(n) for n in numbers])).encode())
    ends = [(int(x.channels), int(x.height), int(x.width)) for x in (live.source, live.output)]
    found.update(repr((ends, int(live.output.producer))).encode())
    return found.hexdigest()


def default_cache() -> Path:
    """``flash/proxies.sqlite`` in the user's cache folder (``XDG_CACHE_HOME``)."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "flash" / "proxies.sqlite"


class ScoreCache:
    """A file of scores; several processes may use it at once.

    Each score is committed by itself: a kill loses what was being computed, nothing else. An
    SQLite base and no journal of lines, because a run looks up a few keys among millions that
    other runs wrote. ``None`` for the path keeps nothing. Raises ``InputError`` for a file that
    is something else, before it is opened for writing.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._path = ":memory:" if path is None else str(path)
        with self._told():
            if path is not None:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                _recognise(Path(path))
            self._base = sqlite3.connect(self._path, timeout=60, isolation_level=None)
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS scores (network TEXT, proxy TEXT, seed INTEGER, "
                "batch INTEGER, data TEXT, version INTEGER, value REAL, reason TEXT, seconds REAL, "
                "PRIMARY KEY (network, proxy, seed, batch, data, version))"
            )

    def get(self, keys: Sequence[Key]) -> dict[Key, Entry]:
        """The entries there are."""
        found = {}
        with self._told():
            for key in keys:
                row = self._base.execute(
                    "SELECT value, reason, seconds FROM scores WHERE network = ? AND proxy = ? "
                    "AND seed = ? AND batch = ? AND data = ? AND version = ?",
                    astuple(key),
                ).fetchone()
                if row is not None:
                    found[key] = Entry(*row)
        return found

    def put(self, key: Key, entry: Entry) -> None:
        """Keep an entry; one that is there already is replaced."""
        with self._told():
            self._base.execute(
                "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*astuple(key), *astuple(entry)),
            )

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
                reason = os.strerror(errno.ENOSPC)
                raise FlashError(f"cannot write {self._path}: {reason}") from None
            raise InputError(
                f"{self._path}: cannot be used as a cache of scores: {error}"
            ) from None


def _tables(path: Path, how: str) -> set[str]:
    base = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=60)
    try:
        return {name for (name,) in base.execute("SELECT name FROM sqlite_master")}
    finally:
        base.close()


def _recognise(path: Path) -> None:
    """Raise ``InputError`` for a file that has anything but the table of scores."""
    if not path.exists():
        return
    with opened(path) as file:
        if not file.read(1):
            return
    try:
        names = _tables(path, "mode=ro")
    except sqlite3.OperationalError as error:
        # A writer that was killed left a journal beside it, which only a writer may undo.
        if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
            raise
        names = _tables(path, "mode=ro&immutable=1")
    foreign = sorted(name for name in names if name != "scores" and "sqlite_" not in name)
    if foreign or not names:
        what = f"it has the table {shown(foreign[0])}" if foreign else "it has no scores"
        raise InputError(f"{path}: cannot be used as a cache of scores: {what}")
