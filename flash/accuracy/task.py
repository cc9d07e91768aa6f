"""What an accuracy is the accuracy of: so many classes, images of one shape, one data set.

Accuracies of one task say nothing of another: a network that tells ten classes apart in 96 % of
the images may tell a hundred apart in 75 %. A model of accuracy therefore names its task, and a
space of another task has no accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

from flash.spaces.space import SearchSpace

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """The task that networks of a space are trained for.

    family:  of the networks, as a space's file names it.
    classes: to tell apart.
    shape:   of an image: channels, height, width.
    digest:  of the images (``ImageSet.digest``), so that sets of equal names are told apart;
             empty where nobody has it, as for published accuracies.
    """

    family: str
    classes: int
    shape: tuple[int, int, int]
    digest: str = ""

    @staticmethod
    def of(space: SearchSpace, digest: str = "") -> Task:
        """The task of a space, on images of this digest."""
        family, shape = space.family, space.family.shape
        return Task(
            family.name, family.classes, (shape.channels, shape.height, shape.width), digest
        )

    @property
    def chance(self) -> float:
        """Accuracy of a network that guesses, per cent."""
        return 100.0 / self.classes

    def differs_from(self, space: SearchSpace) -> str:
        """In what the task of a space differs from this one, for people; empty if in nothing."""
        wanted = Task.of(space, self.digest)
        if self.family != wanted.family:
            return f"networks of the family {self.family}, not {wanted.family}"
        if self.classes != wanted.classes:
            return f"{self.classes} classes, not {wanted.classes}"
        if self.shape != wanted.shape:
            return f"images of {_sizes(self.shape)}, not {_sizes(wanted.shape)}"
        return ""


def _sizes(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))
