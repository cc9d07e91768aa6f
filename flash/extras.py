"""Libraries that not everybody needs, imported when they are first used.

Only numpy, scipy, moocore and rich come with flash. Everything else is an optional extra; where
it is missing, the message has the command that installs it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from flash.errors import UsageError
from flash.interrupts import quiet_imports

__all__ = [
    "install_command",
    "installed_version",
    "lazily",
    "need",
    "postpone",
    "without_collection",
]


@contextlib.contextmanager
def without_collection(*, for_good: bool = False) -> Iterator[None]:
    """Within it Python does not look for reference cycles, for imports of many modules.

    They make objects by the hundred thousand and leave next to none to free; looking through all of
    them again and again takes a tenth of the time of importing scipy.

    for_good: nor does it ever look through what there is at the end: for commands, whose process
              is their own.
    """
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if for_good:
            gc.freeze()
        if collected:
            gc.enable()


def install_command(extra: str) -> str:
    """What installs an extra here: from the clone that flash runs from, else by its name."""
    root = Path(__file__).resolve().parents[1]
    if not (root / "pyproject.toml").is_file():
        return f"pip install 'flash-codesign[{extra}]'"
    place = "." if Path.cwd() == root else root
    return f"pip install -e '{place}[{extra}]'"


def installed_version(library: str) -> str:
    """The version of a library that is installed, say ``numpy``.

    As the folder beside it is called that installing a wheel leaves; ``importlib.metadata``, which
    takes a twentieth of a search to import, where there is none.

    Raises ``importlib.metadata.PackageNotFoundError`` where it is not installed.
    """
    spec = importlib.util.find_spec(library)
    beside = Path(spec.origin).parents[1] if spec and spec.origin else Path()
    folders = [path.name for path in beside.glob(f"{library}-*.dist-info")]
    if len(folders) == 1:
        return folders[0].removeprefix(f"{library}-").removesuffix(".dist-info")
    from importlib import metadata  # noqa: PLC0415 (as above)

    return metadata.version(library)


def need(module: str, extra: str, what: str = "this") -> Any:
    """The imported ``module``.

    module: of a third-party library, or one of flash's own that imports such a library.
    extra:  the extra of ``flash-codesign`` that brings the library.
    what:   what the user asked for, the first word of the message.

    Raises ``UsageError`` with the ``pip install`` command where the library is not installed.

    >>> need("json", extra="none").loads("[1]")
    [1]
    """
    try:
        with quiet_imports(), without_collection():
            return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "flash":
            raise  # a mistake of ours, not a missing library
        raise UsageError(
            f"{what} needs the package {error.name or extra}: {install_command(extra)}"
        ) from None


def lazily(package: str, homes: Mapping[str, tuple[str, str]]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package whose public names are imported on first use.

    package: its ``__name__``.
    homes:   public name -> (module inside the package, or a full name that begins with
             ``flash.``; extra that brings what the module imports; empty where flash's own
             dependencies suffice).
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module, extra = homes[name]
        home = module if module.startswith("flash.") else f"{package}.{module}"
        return getattr(need(home, extra) if extra else importlib.import_module(home), name)

    return get


def postpone(package: str, homes: Mapping[str, str] | None = None) -> None:
    """Execute a package's own file not when it is imported, but when something of it is needed.

    Of large packages that import all their modules at once: what ``homes`` has is taken from its
    module alone, whatever else is asked for brings the rest, so nobody else sees a difference.
    Does nothing where the package is imported already.

    package: of a library, for instance ``scipy.optimize``.
    homes:   public name -> the module inside the package that defines it, or has this name.
    """
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None:
        return
    spec.loader_state = _State(homes or {}, set())
    module = sys.modules[package] = importlib.util.module_from_spec(spec)
    module.__class__ = _Postponed
    parent, _, name = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)


class _State(NamedTuple):
    """homes: see ``postpone``.  threads: that execute the package's own file now."""

    homes: Mapping[str, str]
    threads: set[int]


class _Postponed(ModuleType):
    """A package whose own file was not executed yet; an ordinary module as soon as it was."""

    def __getattr__(self, name: str) -> Any:
        """What the package lacks so far."""
        spec: Any = self.__spec__
        homes, threads = spec.loader_state
        with contextlib.suppress(ImportError, AttributeError):
            if name in homes:
                home = importlib.import_module(f"{spec.name}.{homes[name]}")
                return home if homes[name] == name else getattr(home, name)
            if name.startswith("_") and not name.startswith("__"):
                return importlib.import_module(f"{spec.name}.{name}")
        thread = threading.get_ident()
        if thread in threads:
            raise AttributeError(f"module '{spec.name}' has no attribute '{name}'")
        threads.add(thread)
        try:
            spec.loader.exec_module(self)  # twice, should two threads meet: it does not matter
        finally:
            threads.remove(thread)
        self.__class__ = ModuleType  # type: ignore[assignment]  # as importlib.util.LazyLoader does
        return getattr(self, name)
