"""Sampling: the base's own pipeline under the guidance hook, and its plain twin."""
