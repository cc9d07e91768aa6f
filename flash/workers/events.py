"""What is heard of tasks while others do them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Begun", "Done", "Event", "Lost", "Tell", "Told", "Work", "silent"]

T = TypeVar("T")

#: What a task calls while it is at work; the value comes out as ``Told``.
Tell = Callable[[Any], None]
#: ``function(shared, task, tell)``, at the top level of a module; it returns the task's result.
Work = Callable[..., Any]


def silent(value: Any) -> None:
    """The ``Tell`` of a task that nobody listens to."""


@dataclass(frozen=True)
class Begun(Generic[T]):
    """A worker has taken the task up; again after its worker died."""

    task: T


@dataclass(frozen=True)
class Told(Generic[T]):
    """What the task told while at work."""

    task: T
    value: Any


@dataclass(frozen=True)
class Done(Generic[T]):
    """What the task returned."""

    task: T
    result: Any


@dataclass(frozen=True)
class Lost(Generic[T]):
    """Why the task came to nothing, in one line."""

    task: T
    why: str


Event = Begun[T] | Told[T] | Done[T] | Lost[T]
