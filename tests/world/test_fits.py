"""Fits recover the laws that tracks were made from."""

from __future__ import annotations

import numpy as np
import pytest

from videojam.world.fits import fit_harmonic, fit_kink, fit_line

T = np.arange(25.0)


def test_line_recovers_position_and_velocity() -> None:
    fit = fit_line(np.stack([3 + 0.5 * T, -1 - 2 * T]))
    assert fit.coefficients == pytest.approx(np.array([[3, -1], [0.5, -2]]))
    assert fit.r2 == pytest.approx(1.0)


def test_harmonic_recovers_period_and_shared_trend() -> None:
    wave = 0.3 * np.sin(2 * np.pi * T / 16 + 0.4)
    tracks = np.stack([1 + 0.1 * T + wave, 2 + 0.1 * T - wave])
    fit = fit_harmonic(tracks, np.arange(10, 24, 0.5), turning=True)
    assert fit.parameter == 16
    assert fit.rms < 1e-8
    plain = fit_harmonic(tracks, np.arange(10, 24, 0.5))
    assert plain.r2 < 0.9  # without the trend the law does not hold


def test_kink_finds_the_time_and_both_velocities() -> None:
    track = np.where(T < 11.25, 2 * (T - 11.25), -0.5 * (T - 11.25))[None]
    fit = fit_kink(track, np.arange(3, 21, 0.25))
    assert fit.parameter == 11.25
    assert fit.coefficients[:, 0] == pytest.approx([0, 2, -0.5])
