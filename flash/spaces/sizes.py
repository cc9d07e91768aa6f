"""Integers that remember how they follow from the widths of a network.

``Size`` is an ``int`` with a polynomial beside it: what reads a model computes with its sizes
as it would with plain integers, and every result can be worked out again for other widths.

>>> channels = Size.of_group(3, 64, per=2)
>>> (channels * 9 + 5).terms
(((), 5), ((3,), 18))
>>> (channels * 9 + 5).value({3: 10})
185
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flash.spaces.layers import Ints

__all__ = ["Atom", "Size", "Terms", "evaluate", "terms_from_json", "terms_to_json"]

#: The number of a group of units, or ("//", terms, divisor): a quotient rounded down.
Atom = int | tuple[str, Any, int]
#: (atoms multiplied, coefficient) of each term, in a fixed order; () is the constant.
Terms = tuple[tuple[tuple[Any, ...], int], ...]

_QUOTIENT: Final = "//"


class Size(int):
    """An integer and the terms it is the sum of."""

    terms: Terms

    @staticmethod
    def of_terms(value: int, terms: Mapping[tuple[Any, ...], int]) -> int:
        """``value`` with its terms; a plain integer where only a constant is left."""
        left = {atoms: k for atoms, k in terms.items() if k}
        if not any(left):
            return int(value)
        made = Size(value)
        made.terms = tuple(sorted(left.items(), key=repr))
        return made

    @staticmethod
    def of_group(group: int, units: int, per: int = 1, constant: int = 0) -> int:
        """``per`` positions for each of the ``units`` of a group, and some more."""
        return Size.of_terms(units * per + constant, {(group,): per, (): constant})

    def value(self, units: Mapping[int, Ints]) -> Ints:
        """The size with as many units of each group."""
        return evaluate(self.terms, units)

    def __add__(self, other: int) -> int:
        if not isinstance(other, int):
            return NotImplemented
        found = dict(self.terms)
        for atoms, k in _terms(other):
            found[atoms] = found.get(atoms, 0) + k
        return Size.of_terms(int(self) + int(other), found)

    __radd__ = __add__

    def __neg__(self) -> int:
        return Size.of_terms(-int(self), {atoms: -k for atoms, k in self.terms})

    def __sub__(self, other: int) -> int:
        return self + (-other)

    def __rsub__(self, other: int) -> int:
        return (-self) + other

    def __mul__(self, other: int) -> int:
        if not isinstance(other, int):
            return NotImplemented
        found: dict[tuple[Any, ...], int] = {}
        for a, j in self.terms:
            for b, k in _terms(other):
                atoms = tuple(sorted((*a, *b), key=repr))
                found[atoms] = found.get(atoms, 0) + j * k
        return Size.of_terms(int(self) * int(other), found)

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> int:
        quotient = int(self) // int(other)
        divisor = _terms(other)
        if len(divisor) == 1:
            ((atoms, k),) = divisor
            whole = [_divided(term, atoms, k) for term in self.terms]
            if all(term is not None for term in whole):
                return Size.of_terms(quotient, dict(term for term in whole if term is not None))
        if isinstance(other, Size):
            return quotient
        # floor((q d + r) / d) = q + floor(r / d)
        whole_part = {atoms: k // other for atoms, k in self.terms if k % other == 0}
        rest = tuple((atoms, k) for atoms, k in self.terms if k % other)
        return Size.of_terms(quotient, whole_part | {((_QUOTIENT, rest, int(other)),): 1})


def _terms(value: int) -> Terms:
    return value.terms if isinstance(value, Size) else (((), int(value)),)


def _divided(
    term: tuple[tuple[Any, ...], int], atoms: tuple[Any, ...], k: int
) -> tuple[tuple[Any, ...], int] | None:
    """A term by another where that leaves no remainder."""
    left, coefficient = list(term[0]), term[1]
    for atom in atoms:
        if atom not in left:
            return None
        left.remove(atom)
    return None if coefficient % k else (tuple(left), coefficient // k)


def evaluate(terms: Terms, units: Mapping[int, Ints]) -> Ints:
    """The sum of the terms; ``units``: of each group, a number or one a design."""
    total: Ints = 0
    for atoms, coefficient in terms:
        product: Ints = coefficient
        for atom in atoms:
            product = product * _factor(atom, units)
        total = total + product
    return total


def _factor(atom: Any, units: Mapping[int, Ints]) -> Ints:
    if isinstance(atom, int):
        return units[atom]
    _, terms, divisor = atom
    found: Ints = evaluate(terms, units) // divisor
    return found


def terms_to_json(value: int) -> Any:
    """A plain integer, or a list of ``[coefficient, atom, ...]``."""
    if not isinstance(value, Size):
        return int(value)
    return [[k, *(_atom_to_json(atom) for atom in atoms)] for atoms, k in value.terms]


def _atom_to_json(atom: Any) -> Any:
    if isinstance(atom, int):
        return atom
    rest = [[k, *(_atom_to_json(a) for a in atoms)] for atoms, k in atom[1]]
    return [_QUOTIENT, rest, atom[2]]


def terms_from_json(given: Any) -> Terms | int:
    """What ``terms_to_json`` wrote; ``ValueError`` for anything else."""
    if type(given) is int:
        return given
    if not isinstance(given, list):
        raise ValueError("a size is a number or a list of terms")
    return tuple(_term_from_json(term) for term in given)


def _term_from_json(given: Any) -> tuple[tuple[Any, ...], int]:
    if not isinstance(given, list) or not given or type(given[0]) is not int:
        raise ValueError("a term is a list that begins with its coefficient")
    return tuple(_atom_from_json(atom) for atom in given[1:]), given[0]


def _atom_from_json(given: Any) -> Atom:
    if type(given) is int and given >= 0:
        return given
    if isinstance(given, list) and len(given) == 3 and given[0] == _QUOTIENT:
        rest, divisor = terms_from_json(given[1]), given[2]
        if isinstance(rest, tuple) and type(divisor) is int and divisor > 0:
            return (_QUOTIENT, rest, divisor)
    raise ValueError("an atom is a group or a quotient")
