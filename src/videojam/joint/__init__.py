"""The joint model: a stock transformer with 2C channels, and the record of its motion code."""
