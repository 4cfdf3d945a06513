"""Ranges that flags and configs share; torch and pydantic are not imported, so that `--help` stays quick."""

from __future__ import annotations

MAX_SEED = 2**63 - 1
"""The largest seed; torch takes what is added to it for the clips that follow."""
MAX_SEEDS = 10_000
"""Most clips of each prompt of a bench, whose list is held in memory."""
MIN_FPS, MAX_FPS = 0.01, 1000.0
"""Files keep a rate as a fraction whose denominator is at most 1,001."""
