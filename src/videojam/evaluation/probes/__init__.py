"""Diagnostics: is the order of frames noticed, when is motion fixed, does guidance point towards the data."""
