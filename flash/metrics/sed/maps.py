"""One feature map at initialisation: what operations do to its autocovariance, in closed form.

A map is a stationary Gaussian field on a periodic ``PATCH`` x ``PATCH`` patch, described by its
autocovariance at the lags 0 ... ``PATCH // 2`` along each axis: ``LAGS`` x ``LAGS`` numbers, laid
out flat in the last axis of every array here (``SIZE`` = 25). The number at lag 0 is the variance.
All functions take any leading axes. The derivation of each is in ``SED.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CENTRED",
    "GAMMA",
    "IMAGE",
    "LAGS",
    "PATCH",
    "PIXEL_ENTROPY",
    "RELU_GAIN",
    "RELU_LINEAR",
    "RELU_VARIANCE",
    "RHO",
    "SIZE",
    "Rectified",
    "correlation",
    "frequencies",
    "lags",
    "left_by_relu",
    "rectified",
    "relu",
    "relu_of_correlation",
    "relu_parts",
    "resample",
    "route_filter",
    "route_operator",
    "window_entropy",
]

Floats = NDArray[np.float64]
#: The kernels (height, width) of the pools that a linear route passes, in sorted order.
Route = tuple[tuple[int, int], ...]

#: A map is known to one per cent of its variance (20 dB): signal over noise.
GAMMA: Final = 100.0
#: Correlation of neighbouring pixels of a natural image (first-order model).
RHO: Final = 0.95
#: Period of the patch on which maps are stationary.
PATCH: Final = 8
LAGS: Final = PATCH // 2 + 1
SIZE: Final = LAGS * LAGS

_MEAN_SQUARED: Final = 1 / (2 * math.pi)  # E[relu(z)]^2 of a unit Gaussian z
#: Rounding takes correlations beyond 1; this brings them back.
_INSIDE: Final = 1.0 - 1e-14
#: Var[relu(z)] of a unit Gaussian z.
RELU_VARIANCE: Final = 0.5 - _MEAN_SQUARED
#: E[relu'(z)^2] / Var[relu(z)] = pi / (pi - 1): gradient energy gained by ReLU, conv, batch norm.
RELU_GAIN: Final = 0.5 / RELU_VARIANCE
#: Share of the variance of relu(z), z centred, that is a linear image of z.
RELU_LINEAR: Final = 0.25 / RELU_VARIANCE
#: Nats of one number known to the noise floor.
PIXEL_ENTROPY: Final = 0.5 * math.log1p(GAMMA)

_STEPS = np.arange(LAGS)
_COSINES = np.cos(2 * np.pi * np.outer(_STEPS, _STEPS) / PATCH)
#: How often a lag (or frequency) of the half patch occurs on the whole one.
_TIMES = np.where((_STEPS == 0) | (_STEPS == PATCH // 2), 1.0, 2.0)
_TO_FREQUENCY_1D = _COSINES * _TIMES
_TO_FREQUENCY = np.kron(_TO_FREQUENCY_1D, _TO_FREQUENCY_1D).T.copy()
_TO_LAG = _TO_FREQUENCY / PATCH**2
#: Lag 2 d for lag d, the farthest known one beyond.
_DOUBLED = np.minimum(2 * _STEPS, LAGS - 1)
_STRIDED = (_DOUBLED[:, None] * LAGS + _DOUBLED[None]).ravel()


def frequencies(covariance: Floats) -> Floats:
    """Spectrum of a covariance (cosine transform); rounding never makes it negative."""
    spectrum: Floats = np.maximum(covariance @ _TO_FREQUENCY, 0.0)
    return spectrum


def lags(spectrum: Floats) -> Floats:
    """Covariance of a spectrum."""
    covariance: Floats = spectrum @ _TO_LAG
    return covariance


def _image() -> Floats:
    distance = np.hypot(_STEPS[:, None], _STEPS[None]).ravel()
    covariance = lags(frequencies(RHO**distance))
    covariance /= covariance[0]
    covariance.setflags(write=False)
    return covariance


#: Covariance of the image: unit variance, correlation ``RHO`` ** distance.
IMAGE: Final[Floats] = _image()


def correlation(covariance: Floats) -> Floats:
    """The covariance of the map scaled to unit variance (batch norm); 0 stays 0.

    A single one that has it already is returned itself: do not write into the result.
    """
    if covariance.ndim == 1:  # a number by itself is cheaper than an array of one
        variance: float | Floats = covariance.item(0)
        if variance == 1.0:
            return covariance
        if variance < 1e-12:
            variance = 1e-12
    else:
        variance = np.maximum(covariance[..., :1], 1e-12)
    result: Floats = covariance / variance
    return result


def relu(covariance: Floats) -> Floats:
    """Covariance after ReLU of a centred Gaussian map (arc-cosine kernel, mean removed)."""
    kernel = relu_of_correlation(correlation(covariance))
    if covariance.ndim > 1 or covariance.item(0) != 1.0:
        kernel *= covariance[..., :1]
    return kernel


def relu_of_correlation(correlation: Floats) -> Floats:
    """``relu`` of a map of unit variance (or without any: all correlations 0).

    sin a + (pi - a) cos a - 1 over 2 pi, where cos a is the correlation.
    """
    r = correlation * _INSIDE
    angle = np.arccos(r)
    kernel: Floats = np.sin(angle)
    np.subtract(np.pi, angle, out=angle)
    angle *= r
    kernel += angle
    kernel -= 1.0
    kernel *= _MEAN_SQUARED
    return kernel


@dataclass(frozen=True, slots=True)
class Rectified:
    """What ReLU leaves of a Gaussian map.

    mean:   of what it writes, where it reads unit variance or as asked for.
    linear: share of the variance written that is a linear image of what was read.
    active: share of the numbers that pass, the gain of gradient energy.
    """

    mean: float
    linear: float
    active: float


#: ReLU of a centred map of unit variance.
CENTRED: Final = Rectified(math.sqrt(_MEAN_SQUARED), RELU_LINEAR, 0.5)


def left_by_relu(mean: float, variance: float) -> tuple[float, float, float, float]:
    """Of a Gaussian number after ReLU: mean, variance, linear part of it, and share active."""
    scale = math.sqrt(variance)
    a = mean / scale
    active = 0.5 * (1 + math.erf(a / math.sqrt(2)))
    density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    kept = scale * (density + a * active)
    written = max(variance * ((1 + a * a) * active + a * density) - kept * kept, 1e-12)
    return kept, written, min(variance * active * active, written), active


def rectified(covariance: Floats, mean: float) -> tuple[Floats, Rectified]:
    """Covariance (SIZE,) after ReLU of a Gaussian map with a mean, and what is left."""
    variance = covariance.item(0)
    if mean == 0.0 or variance < 1e-12:
        scale = math.sqrt(max(variance, 0.0))
        return relu(covariance), Rectified(scale * CENTRED.mean, RELU_LINEAR, 0.5)
    kept, written, linear, active = left_by_relu(mean, variance)
    found = relu_parts(covariance / variance, written, linear)
    return found, Rectified(kept, linear / written, active)


def relu_parts(correlation: Floats, written: float | Floats, linear: float | Floats) -> Floats:
    """Covariance of variance ``written`` whose part ``linear`` keeps its correlations.

    What ReLU bends is taken to have the correlations that it has at mean 0 (exact there;
    ``SED.md``, section 1).
    """
    bent = (relu_of_correlation(correlation) / RELU_VARIANCE - RELU_LINEAR * correlation) / (
        1 - RELU_LINEAR
    )
    found: Floats = linear * correlation + (written - linear) * bent
    return found


def resample(covariance: Floats, stride: int) -> Floats:
    """Covariance when only every ``stride``-th position is kept (to the nearest power of 2)."""
    for _ in range(max(0, round(math.log2(stride)))):
        covariance = lags(frequencies(covariance[..., _STRIDED]))
    return covariance


@lru_cache(maxsize=256)
def _box(kernel: int) -> Floats:
    """Transfer function of the mean over ``kernel`` positions, shape (LAGS,)."""
    shifts = np.arange(kernel) - (kernel - 1) / 2
    return np.asarray(np.cos(2 * np.pi * np.outer(_STEPS, shifts) / PATCH).mean(axis=1))


def route_filter(routes: Iterable[Route]) -> Floats:
    """Power gain, at each frequency, of parallel linear routes: their amplitudes add up."""
    amplitude = np.zeros(SIZE)
    for route in routes:
        passed = np.ones(SIZE)
        for height, width in route:
            passed = passed * np.outer(_box(height), _box(width)).ravel()
        amplitude += passed
    return amplitude * amplitude


@lru_cache(maxsize=4096)
def route_operator(routes: frozenset[Route]) -> Floats:
    """``covariance @ route_operator(routes)``: what parallel linear routes make of a map."""
    operator: Floats = (_TO_FREQUENCY * route_filter(sorted(routes))) @ _TO_LAG
    return operator


@lru_cache(maxsize=64)
def _parity_blocks(height: int, width: int) -> tuple[tuple[int, Floats, Floats], ...]:
    """``GAMMA`` x window covariances split by symmetry: (size m, matrix from lags to m x m
    blocks, the identity).

    The covariance of a ``height`` x ``width`` window does not change when an axis is reversed,
    so even and odd patterns along each axis do not mix: four blocks of about a quarter each.
    """
    blocks = []
    for rows in _parities(height):
        for columns in _parities(width):
            basis = np.kron(rows, columns)  # (m, height * width)
            if len(basis) == 0:
                continue
            y, x = np.divmod(np.arange(height * width), width)
            lag = _wrapped(y) * LAGS + _wrapped(x)
            one_hot = np.zeros((height * width, height * width, SIZE))
            np.put_along_axis(one_hot, lag[..., None], 1.0, axis=2)
            entries = np.einsum("ap,pqs,bq->sab", basis, one_hot, basis, optimize=True)
            blocks.append((len(basis), GAMMA * entries.reshape(SIZE, -1), np.eye(len(basis))))
    return tuple(blocks)


def _parities(size: int) -> tuple[Floats, Floats]:
    """Orthonormal even and odd patterns on ``size`` positions, one a row."""
    half = size // 2
    even, odd = np.zeros((size - half, size)), np.zeros((half, size))
    for i in range(half):
        even[i, [i, size - 1 - i]] = math.sqrt(0.5)
        odd[i, i], odd[i, size - 1 - i] = math.sqrt(0.5), -math.sqrt(0.5)
    if size % 2:
        even[half, half] = 1.0
    return even, odd


def _wrapped(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    distance = np.abs(positions[:, None] - positions[None]) % PATCH
    nearest: NDArray[np.int64] = np.minimum(distance, PATCH - distance)
    return nearest


def window_entropy(correlations: Floats, height: int, width: int) -> Floats:
    """1/2 log |I + GAMMA Sigma| of a window of a unit-variance map, in nats a channel.

    correlations: (..., SIZE).  Returns (...,).  Windows beyond the patch wrap around it, and
    count up to twice its side.
    """
    height, width = min(height, 2 * PATCH), min(width, 2 * PATCH)
    total = np.zeros(correlations.shape[:-1])
    if height == width == 1:
        return total + PIXEL_ENTROPY
    for size, entries, identity in _parity_blocks(height, width):
        block = (correlations @ entries).reshape(*correlations.shape[:-1], size, size)
        block += identity
        total += np.linalg.slogdet(block)[1] if size > 1 else np.log(block[..., 0, 0])
    return total / 2
