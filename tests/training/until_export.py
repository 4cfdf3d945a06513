"""Runs for tests that look at steps, logs and checkpoints: they end where the model would be written and verified."""

from __future__ import annotations

import pytest

from videojam.training.run import train


class ExportError(Exception):
    """Stands for whatever ends a run after its last checkpoint."""


def train_until_export(config, listen=lambda kind, content: None):
    """Run all steps of a recipe, and stop it before it writes its model."""

    def stop(kind, content):
        listen(kind, content)
        if kind == "note" and content.startswith("writing "):
            raise ExportError

    with pytest.raises(ExportError):
        train(config, listen=stop)
