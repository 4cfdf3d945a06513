"""Least-squares fits of simple laws of motion to short tracks, and how well they hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Fit(NamedTuple):
    """A fitted law: coefficients, the fitted values, R² of the worst track and the largest RMS residual."""

    coefficients: Array
    values: Array
    r2: float
    rms: float
    parameter: float = 0.0


def fit_basis(basis: Array, tracks: Array) -> Fit:
    """Fit tracks [N, T] by the columns of a basis [T, K] in the least-squares sense."""
    coefficients: Array = np.asarray(np.linalg.lstsq(basis, tracks.T, rcond=None)[0], dtype=np.float64)
    values = (basis @ coefficients).T
    return Fit(coefficients, values, *_quality(tracks, values))


def fit_line(tracks: Array) -> Fit:
    """Fit tracks [N, T] by straight lines in time."""
    t = np.arange(tracks.shape[1], dtype=np.float64)
    return fit_basis(np.stack([np.ones_like(t), t], -1), tracks)


def fit_harmonic(tracks: Array, periods: Array, *, turning: bool = False) -> Fit:
    """Fit tracks [N, T] by one sinusoid of a period that they share, with a shared trend when `turning`.

    a_i + (ω·t) + A_i·sin(2πt/P) + B_i·cos(2πt/P); `parameter` is the best period.
    """
    t = np.arange(tracks.shape[1], dtype=np.float64)
    shift = np.zeros_like(tracks)
    if turning:
        rate = float(np.mean(np.diff(tracks, axis=1)))
    best: Fit | None = None
    for period in periods:
        phase = 2 * np.pi * t / period
        basis = np.stack([np.ones_like(t), np.sin(phase), np.cos(phase)], -1)
        if turning:
            rate = _shared_rate(basis, tracks, t)
            shift = np.broadcast_to(rate * t, tracks.shape)
        fit = fit_basis(basis, tracks - shift)
        values = fit.values + shift
        r2, rms = _quality(tracks, values)
        if best is None or rms < best.rms:
            best = Fit(fit.coefficients, values, r2, rms, float(period))
    assert best is not None, "periods is empty"
    return best


def fit_kink(tracks: Array, times: Array) -> Fit:
    """Fit tracks [N, T] by lines that bend once, all at the same time; `parameter` is that time.

    Rows of `coefficients` are position at the bend, velocity before it, velocity after it.
    """
    t = np.arange(tracks.shape[1], dtype=np.float64)
    best: Fit | None = None
    for bend in times:
        basis = np.stack([np.ones_like(t), np.minimum(t - bend, 0), np.maximum(t - bend, 0)], -1)
        fit = fit_basis(basis, tracks)
        total = float(np.sqrt(np.mean((tracks - fit.values) ** 2)))
        if best is None or total < best.rms:
            best = fit._replace(rms=total, parameter=float(bend))
    assert best is not None, "times is empty"
    return best


def _shared_rate(basis: Array, tracks: Array, t: Array) -> float:
    """The trend that all tracks share, beside their own sinusoids: regression of residuals on residuals."""
    onto = np.linalg.lstsq(basis, np.column_stack([t, tracks.T]), rcond=None)[0]
    residuals = np.column_stack([t, tracks.T]) - basis @ onto
    ramp, rest = residuals[:, 0], residuals[:, 1:]
    return float((ramp @ rest).sum() / (rest.shape[1] * (ramp @ ramp)))


def _quality(tracks: Array, values: Array) -> tuple[float, float]:
    residual = ((tracks - values) ** 2).mean(axis=1)
    spread = tracks.var(axis=1)
    r2 = 1.0 - residual / np.maximum(spread, 1e-9)
    return float(r2.min()), float(np.sqrt(residual.max()))
