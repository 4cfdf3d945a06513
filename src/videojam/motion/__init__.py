"""Optical flow: its estimators, its RGB code (Eq. 5), and reading and writing video."""
