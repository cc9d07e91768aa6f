"""Head confidence on rebuilt FlexiBERT encoders, and the published figures of recurrent cells.

    python scripts/validate/language.py [--networks 500] [--shared FOLDER]

FlexiBERT (500 encoders with GLUE scores; Serianni & Kalita 2023, CC BY 4.0): a row names each
layer's mixing (self-attention by scaled dot product or by a weight matrix, a discrete Fourier or
cosine transform, a span convolution), its heads and its feed-forward stack, so the encoder is
rebuilt here, with normal weights of deviation .02 and random tokens. What no row holds, and what
therefore differs from the published run: the initial weights (a pretrained tokenizer's embedding
and the generator's state), the sentences, the inside of the span convolution, and where the
transforms are scaled. So the sign is reproduced and the rank correlation is not; both are printed,
with the number of layers, which alone ranks better than either.

NAS-Bench-NLP (8,794 recurrent cells): a row has the name of a log and figures, not the cell's
recipe. Printed is what the published hidden covariance gives on the rows; ours, on 271 cells whose
recipes are in the logs of another data set, is in ``systems.py --parts recurrent``.

Exit code 1 if the sign of head confidence is not the published one. Needs the extra torch.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from scipy.fft import dct
from scipy.stats import kendalltau, spearmanr
from torch.nn import functional

from flash.proxies.head_confidence import head_confidence

TOKENS, SENTENCES, WORDS, DEVIATION = 128, 4, 30522, 0.02
_COSINES = torch.from_numpy(dct(np.eye(TOKENS), norm="ortho").astype(np.float32))


class Encoder:
    """One FlexiBERT encoder at initialisation, as a row of the table describes it."""

    def __init__(self, row: Mapping[str, str], seed: int) -> None:
        self.width = int(row["hidden_size"])
        self.layers = [layer.split("-") for layer in row["layers"].split(";")]
        self.random = torch.Generator().manual_seed(seed)

    def heads_outputs(self) -> list[torch.Tensor]:
        """What the heads of each layer put out, (sentences, heads, tokens, units)."""
        tokens = torch.randint(0, WORDS, (SENTENCES, TOKENS), generator=self.random)
        x = self._norm(self._weights(WORDS, self.width)[tokens] + self._weights(TOKENS, self.width))
        outputs = []
        for operation, kind, heads, feed in self.layers:
            out = self._mix(x, operation, kind, int(heads[1:]))
            outputs.append(out)
            joined = out.transpose(1, 2).reshape(SENTENCES, TOKENS, self.width)
            x = self._norm(x + self._linear(joined, self.width))
            inner, repeats = map(int, feed[2:].split("x"))
            y = x
            for _ in range(repeats):
                y = self._linear(functional.gelu(self._linear(y, inner)), self.width)
            x = self._norm(x + y)
        return outputs

    def _mix(self, x: torch.Tensor, operation: str, kind: str, heads: int) -> torch.Tensor:
        value = self._split(self._linear(x, self.width), heads)
        units = self.width // heads
        if operation == "LT":
            if kind == "DFT":
                spectrum: torch.Tensor = torch.fft.fft(value, dim=2, norm="ortho")
                return spectrum.real
            return _COSINES.T @ value
        query = self._split(self._linear(x, self.width), heads)
        if operation == "SA":
            key = self._split(self._linear(x, self.width), heads)
            if kind == "WMA":
                key = key @ self._weights(units, units)
            return (query @ key.transpose(2, 3) / math.sqrt(units)).softmax(-1) @ value
        span = int(kind)
        depthwise = self._weights(self.width, span)[:, None]
        near = functional.conv1d(x.mT, depthwise, padding=span // 2, groups=self.width).mT
        key = self._split(self._linear(near, self.width), heads)
        kernel = self._linear(query * key, span).softmax(-1)
        windows = functional.pad(value, (0, 0, span // 2, span // 2)).unfold(2, span, 1)
        mixed: torch.Tensor = (windows * kernel[..., None, :]).sum(-1)
        return mixed

    def _split(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        return x.reshape(SENTENCES, TOKENS, heads, -1).transpose(1, 2)

    def _linear(self, x: torch.Tensor, out: int) -> torch.Tensor:
        return x @ self._weights(x.shape[-1], out)

    def _weights(self, rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=self.random) * DEVIATION

    @staticmethod
    def _norm(x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:])


def read(folder: Path, name: str) -> list[dict[str, str]]:
    """Rows of one of the language tables."""
    with gzip.open(folder / "data" / "language" / name, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def show(name: str, score: list[float], truth: list[float]) -> float:
    """Print and return Spearman of a score with the truth."""
    rho, tau = spearmanr(score, truth)[0], kendalltau(score, truth)[0]
    print(f"  {name:44s} Spearman {rho:6.3f}  Kendall {tau:6.3f}")
    return float(rho)


def flexibert(folder: Path, networks: int) -> bool:
    """Head confidence of rebuilt encoders beside the published one; is the sign the same?"""
    rows = read(folder, "flexibert_glue.csv.gz")[:networks]
    print(f"FlexiBERT, {len(rows)} encoders, against the GLUE score:")
    glue = [float(row["score_glue"]) for row in rows]
    published = [float(row["Head Confidence"]) for row in rows]
    ours = [head_confidence(Encoder(row, 0).heads_outputs()) for row in rows]
    theirs = show("head confidence, published", published, glue)
    found = show("head confidence, rebuilt (ours)", ours, glue)
    show("parameters", [float(row["Number of Parameters"]) for row in rows], glue)
    show("number of layers", [float(row["n_layers"]) for row in rows], glue)
    print(f"  rank agreement of the two head confidences: {spearmanr(ours, published)[0]:.3f}")
    return found * theirs > 0


def recurrent(folder: Path) -> None:
    """What the published hidden covariance gives on all rows."""
    rows = read(folder, "nasbench_nlp_rnn.csv.gz")
    print(f"\nNAS-Bench-NLP, {len(rows):,} cells, against test loss (published figures only):")
    loss = [float(row["loss"]) for row in rows]
    for name in ("Layer 1 Hidden Covariance", "Layer 2 Hidden Covariance"):
        show(name, [float(row[name]) for row in rows], loss)
    print("  cells with a recipe, rebuilt: scripts/validate/systems.py --parts recurrent")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    beside = Path(__file__).resolve().parents[3] / "shared"
    parser.add_argument("--shared", type=Path, default=os.environ.get("FLASH_SHARED", beside))
    parser.add_argument("--networks", type=int, default=500, metavar="N")
    options = parser.parse_args()
    folder = Path(options.shared)
    if not (folder / "data" / "language").is_dir():
        raise SystemExit(f"no language data in {folder}: name the folder with --shared")
    torch.set_num_threads(1)
    good = flexibert(folder, options.networks)
    recurrent(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
