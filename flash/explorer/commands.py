"""The command of a search, as the page gives it: without limits, which the page has itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["search_words"]

#: Options whose values decide nothing that the page does not decide: limits, and where files go.
_LEFT_OUT = frozenset(
    {"--max-latency", "--max-energy", "--max-memory", "--max-area", "--min-score", "--min-accuracy"}
    | {"--json", "--out", "--html", "--export", "--model", "--model-accuracy", "--input"}
)
_FLAGS = frozenset({"--quiet", "--verbose"})


def search_words(arguments: Iterable[str], target: str, space: str) -> list[str]:
    """The words of the search with these arguments, target and space always named.

    >>> search_words(["--max-latency=9ms", "--html", "--seed", "1"], "rpi3b", "nasbench201")
    ['flash', 'search', '--target', 'rpi3b', '--space', 'nasbench201', '--seed', '1']
    """
    kept = _deciding([part for word in arguments for part in _split(word)])
    named = (("--target", target), ("--space", space))
    given = [word for name, value in named if name not in kept for word in (name, value)]
    return ["flash", "search", *given, *kept]


def _split(word: str) -> list[str]:
    """``--option=value`` as two words."""
    name, equals, value = word.partition("=")
    return [name, value] if equals and name.startswith("--") else [word]


def _deciding(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in words:
        option = word.startswith("--")
        if option:
            skip = word in _LEFT_OUT or word in _FLAGS
        if not skip:
            kept.append(word)
        elif not option:  # the value of an option left out: it has one at most
            skip = False
    return kept
