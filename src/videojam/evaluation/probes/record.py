"""The file of one probe of one model: settings, every clip's numbers, their summary; written whole, resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from videojam import __version__
from videojam.data.encode import fingerprint
from videojam.errors import VideoJamError
from videojam.evaluation.intervals import paired_difference
from videojam.files import write_text
from videojam.models.load import LoadedModel

FORMAT = 1
PACKAGES = ("torch", "diffusers", "transformers")

ProbeName = Literal["permutation", "noising"]
Row = dict[str, Any]


class ProbeFile:
    """A probe's results on disk; rows of clips that were measured with the same settings are taken over.

    Args:
        path: JSON file; written after each batch of clips, to a temporary name first.
        probe: Which probe.
        settings: All, besides the clips, that decides a number.
        facts: What else to tell: the model, the source of the clips.

    Raises:
        VideoJamError: the file holds another probe, or other settings; names the first that differs.
    """

    def __init__(self, path: Path, probe: ProbeName, settings: dict[str, Any], facts: dict[str, Any]) -> None:
        self.path = path
        self.settings = json.loads(json.dumps({"probe": probe, "format": FORMAT, **settings}))
        self.facts = facts
        self.rows: dict[str, Row] = {}
        if path.exists():
            stored = load_probe(path)
            self._check(stored["settings"])
            self.rows = {row["key"]: row for row in stored["clips"]}

    def _check(self, stored: dict[str, Any]) -> None:
        for name in sorted({*self.settings, *stored}, key=lambda name: (name != "probe", name)):
            mine, other = self.settings.get(name), stored.get(name)
            if mine != other:
                raise VideoJamError(
                    expected=f"{name} = {_short(other)}, as the file has it",
                    found=f"{name} = {_short(mine)}",
                    where=str(self.path),
                    fix="Write to another file with --out, or remove this one.",
                )

    def write(self, asked: Sequence[str], left_out: dict[str, str], summary: Any = None) -> dict[str, Any]:
        """Write the rows of the asked clips that are there, in that order, and return the whole.

        Args:
            asked: Keys of the clips.
            left_out: Clips that can't be used, with the reason.
            summary: Of the rows, once all are there.

        Raises:
            VideoJamError: no room or permission.
        """
        clips = [self.rows[name] for name in asked if name in self.rows]
        result = {
            "probe": self.settings["probe"],
            "complete": len(clips) == len(asked),
            "num_clips": len(clips),
            **self.facts,
            "versions": {"videojam": __version__, **{name: version(name) for name in PACKAGES}},
            "settings": self.settings,
            "summary": summary,
            "left_out": left_out,
            "clips": clips,
        }
        text = json.dumps(result, indent=1, allow_nan=False) + "\n"
        fix = "Free space or choose another --out; clips that were written are kept."
        write_text(self.path, text, fix)
        return result


def load_probe(path: str | Path) -> dict[str, Any]:
    """Read a probe's file.

    Raises:
        VideoJamError: no such file, or not one of a probe.
    """
    try:
        stored = json.loads(Path(path).read_text())
        if stored["probe"] in ("permutation", "noising") and isinstance(stored["clips"], list):
            return stored
        found = f"a file of {stored['probe']!r}"
    except OSError as error:
        found = error.strerror or str(error)
    except (ValueError, KeyError, TypeError):
        found = "something else"
    raise VideoJamError(
        expected="a JSON file that `videojam probe permutation` or `videojam probe noising` wrote",
        found=found,
        where=str(path),
        fix="Check the path, or choose another --out.",
    )


def model_facts(model: LoadedModel) -> dict[str, Any]:
    """Tell which model was probed, by its source and by a hash of its weights."""
    transformers = model.family.transformers(model.pipeline)
    return {
        "source": model.source,
        "pipeline": type(model.pipeline).__name__,
        "is_joint": model.is_joint,
        "record": model.record.model_dump(mode="json") if model.record else None,
        "device": str(next(next(iter(transformers.values())).parameters()).device),
    }


def model_settings(model: LoadedModel) -> dict[str, Any]:
    """Return what of a model decides a probe's numbers: hashes of its weights, motion code, text length."""
    pipe = model.pipeline
    parts = {**model.family.transformers(pipe), "vae": pipe.vae, "text_encoder": pipe.text_encoder}
    return {
        "weights": {name: fingerprint(part)[:16] for name, part in parts.items()},
        "motion": model.record.motion.model_dump(mode="json") if model.record else None,
        "max_sequence_length": model.defaults.max_sequence_length,
    }


def mean_interval(
    values: NDArray[np.float64], others: NDArray[np.float64] | None = None
) -> dict[str, float | int | None]:
    """Return the mean of values − others with its bootstrap interval over clips, others being 0 if not given.

    A single clip has no interval: `low` and `high` are None.
    """
    others = np.zeros_like(values) if others is None else others
    if len(values) < 2:
        return {"mean": float((values - others).mean()), "low": None, "high": None, "n": len(values)}
    return asdict(paired_difference(values, others))


def check_finite(values: Iterable[float], clip: str, where: str) -> None:
    """Raise if a number is NaN or infinite.

    Raises:
        VideoJamError: names the clip.
    """
    if not all(math.isfinite(value) for value in values):
        raise VideoJamError(
            expected="finite numbers",
            found="NaN or infinity",
            where=f"{clip}, {where}",
            fix="Check the model with videojam verify, and the clip; try --dtype float32.",
        )


def _short(value: Any, max_length: int = 80) -> str:
    text = json.dumps(value)
    return text if len(text) <= max_length else text[: max_length - 1] + "…"
