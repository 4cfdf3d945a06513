"""What a run writes of itself: the resolved recipe, versions, revision, and the clips that were left out."""

from __future__ import annotations

import json
import platform

from videojam import __version__, provenance
from videojam.data.encoded import EncodedData
from videojam.files import write_text
from videojam.training.config import TrainConfig

PACKAGES: tuple[str, ...] = (*provenance.PACKAGES, "accelerate", "peft")


def versions() -> dict[str, str]:
    """Return the versions of what a run's numbers depend on."""
    return {"videojam": __version__, "python": platform.python_version(), **provenance.versions_of(PACKAGES)}


def write_facts(config: TrainConfig, data: EncodedData, num_processes: int, frozen: tuple[str, ...]) -> None:
    """Write `out/run.json`.

    Args:
        config: The recipe.
        data: Encoded clips.
        num_processes: Of the run.
        frozen: Parts of the names of the parameters that no loss reaches.

    Raises:
        VideoJamError: no room or permission.
    """
    facts = {
        "videojam": __version__,
        "versions": provenance.versions_of(PACKAGES),
        "python": platform.python_version(),
        "git_revision": provenance.git_revision(),
        "num_processes": num_processes,
        "config": config.model_dump(mode="json"),
        "left_out": data.left_out,
        **({"frozen": list(frozen)} if frozen else {}),
    }
    fix = "Choose another out folder, or change its permissions."
    write_text(config.out / "run.json", json.dumps(facts, indent=2) + "\n", fix)
