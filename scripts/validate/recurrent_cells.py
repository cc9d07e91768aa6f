"""Recurrent cells of NAS-Bench-NLP, rebuilt from the recipes of its training logs.

A recipe names nodes; each is an operation on inputs, on nodes, or on the states before. This is
the first layer of a network at initialisation, unrolled over sequences: of random numbers, or of
words of a text.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

__all__ = ["Cell", "before", "embedded", "recipes", "words_of"]

#: Words that have a vector of their own, the most frequent of a text; Penn Treebank's number.
VOCABULARY = 10_000

_ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "activation_leaky_relu": functional.leaky_relu,
    "activation_sigm": torch.sigmoid,
    "activation_tanh": torch.tanh,
}


class Cell:
    """One cell: weights uniform up to 1 / sqrt(hidden) as the benchmark draws them.

    recipe: node -> {"op": ..., "input": [...]}.  features: of what it reads.
    """

    def __init__(self, recipe: Mapping[str, Any], features: int, hidden: int, seed: int) -> None:
        self.recipe, self.hidden = recipe, hidden
        self.states = sorted({i for node in recipe.values() for i in node["input"]
                              if i.startswith("h_prev_")})  # fmt: skip
        self.order = self._sorted()
        random = torch.Generator().manual_seed(seed)
        bound = 1 / math.sqrt(hidden)

        def drawn(*shape: int) -> torch.Tensor:
            unit: torch.Tensor = 2 * torch.rand(*shape, generator=random) - 1
            return unit * bound

        self.weights = {
            (name, number): (drawn(hidden, features if read == "x" else hidden), drawn(hidden))
            for name, node in recipe.items()
            if node["op"] == "linear"
            for number, read in enumerate(node["input"])
        }

    def _sorted(self) -> list[str]:
        """Nodes after all they read."""
        done: list[str] = []
        while len(done) < len(self.recipe):
            ready = [
                name for name, node in self.recipe.items()
                if name not in done
                and all(i == "x" or i.startswith("h_prev_") or i in done for i in node["input"])
            ]  # fmt: skip
            if not ready:
                raise ValueError("the recipe has a circle")
            done += ready
        return done

    def unroll(self, sequences: torch.Tensor) -> torch.Tensor:
        """States h_new_0, shape (sequences, steps, hidden), of (sequences, steps, features)."""
        before = {name: torch.zeros(len(sequences), self.hidden) for name in self.states}
        found = []
        for x in sequences.unbind(1):
            values = {"x": x, **before}
            for name in self.order:
                values[name] = self._node(name, values)
            before = {name: values[name.replace("prev", "new")] for name in self.states}
            found.append(values["h_new_0"])
        return torch.stack(found, dim=1)

    def _node(self, name: str, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        node = self.recipe[name]
        read = [values[i] for i in node["input"]]
        match node["op"]:
            case "linear":
                parts = [
                    functional.linear(x, *self.weights[name, number])
                    for number, x in enumerate(read)
                ]
                return torch.stack(parts).sum(dim=0)
            case "blend":
                return read[0] * read[1] + (1 - read[0]) * read[2]
            case "elementwise_prod":
                return torch.stack(read).prod(dim=0)
            case "elementwise_sum":
                return torch.stack(read).sum(dim=0)
            case op:
                return _ACTIVATIONS[op](read[0])


def before(states: torch.Tensor) -> torch.Tensor:
    """What each step of ``Cell.unroll`` began from: zeros, then all states but the last."""
    return torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], dim=1)


def words_of(path: Path) -> list[str]:
    """A text of WikiText in the form of Penn Treebank.

    Lower case, numbers as N, no punctuation and no headings, <eos> after each sentence, and <unk>
    for all but the ``VOCABULARY`` most frequent words.
    """
    words: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" = ") or not line.strip():
            continue
        for token in re.sub(r" @(.)@ ", r"\1", line).split():
            if token in (".", "?", "!"):
                words.append("<eos>")
            elif token == "<unk>" or re.search("[a-zA-Z]", token):
                words.append(token.lower())
            elif re.search("[0-9]", token):
                words.append("N")
        if words[-1] != "<eos>":
            words.append("<eos>")
    kept = {word for word, _ in Counter(words).most_common(VOCABULARY)}
    return [word if word in kept else "<unk>" for word in words]


def embedded(
    words: Sequence[str], sequences: int, steps: int, features: int, seed: int
) -> torch.Tensor:
    """Vectors of words, shape (sequences, steps, features), uniform up to .1 in size.

    The text is cut into as many streams of equal length; of each the words from seed x steps on.
    A word has the same vector wherever it stands.
    """
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
    random = torch.Generator().manual_seed(1000 + seed)  # not the numbers of the cell's weights
    vectors = 0.2 * torch.rand(len(numbers), features, generator=random) - 0.1
    length = len(words) // sequences
    begins = range(seed * steps, sequences * length, length)
    at = [[numbers[word] for word in words[begin : begin + steps]] for begin in begins]
    return vectors[torch.tensor(at)]


def recipes(shared: Path) -> list[dict[str, Any]]:
    """Cells with a recipe, a WikiText-2 loss, and a row of the published table of proxies."""
    folder = shared / "data" / "language"

    def read(name: str) -> list[dict[str, str]]:
        with gzip.open(folder / name, "rt", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    published = {}
    for row in read("nasbench_nlp_rnn.csv.gz"):
        number = re.search(r"model_(\d+)_", row["log name"])
        if number:
            published[number[1]] = row
    found = []
    for row in read("nasbench_nlp_wikitext2_recipes.csv.gz"):
        other = published.get(row["recepie_id"])
        if row["status"] == "OK" and other is not None:
            found.append({
                "recipe": json.loads(row["recepie"]), "hidden": int(row["nhid"]),
                "features": int(row["emsize"]), "wikitext": float(row["test_loss"]),
                "treebank": float(other["loss"]),
                "published": float(other["Layer 1 Hidden Covariance"]),
                "params": float(other["params"]),
            })  # fmt: skip
    return found
