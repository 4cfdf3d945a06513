"""The manifest of a generation: what is needed to make the same clips again, and which clips are made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videojam import fingerprints, provenance
from videojam.errors import VideoJamError
from videojam.files import renamed
from videojam.models.load import LoadedModel
from videojam.sampling.sample import SampleOutput
from videojam.sampling.settings import ResolvedSettings

MANIFEST_NAME = "manifest.json"
ASKED = ("model", "record", "versions", "fps", "guidance", "settings", "image", "asked")
"""What two generations must agree in for the second to go on with the first."""
FROM = ("weights", "device", "dtype")
"""What they must agree in, too, unless the first is of a version that did not write it down."""


class GenerationManifest:
    """`manifest.json` of one generation, written anew after each batch.

    Args:
        path: Of the file.
        content: As it is written.
    """

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path, self._content = path, content

    @property
    def clips(self) -> list[dict[str, Any]]:
        """Clips that are made, one line each."""
        clips: list[dict[str, Any]] = self._content["clips"]
        return clips

    def has(self, indices: Sequence[int]) -> bool:
        """Whether these clips are made and their files are still there."""
        made = {clip["index"]: clip["files"].values() for clip in self.clips}
        return all(
            i in made and all((self.path.parent / name).is_file() for name in made[i]) for i in indices
        )

    def add(self, clips: list[dict[str, Any]], output: SampleOutput, motion_std: float) -> None:
        """Add the clips of a batch, and what its run measured."""
        indices = {clip["index"] for clip in clips}
        kept = [clip for clip in self.clips if clip["index"] not in indices]
        trace, window = output.trace, output.window
        self._content |= {
            "clips": sorted(kept + clips, key=lambda clip: int(clip["index"])),
            "motion_window": {**window.model_dump(mode="json"), "text": str(window)} if window else None,
            "num_steps": len(trace.times),
            "num_forwards": trace.num_forwards,
            "num_evaluations": trace.num_evaluations,
            "times": trace.times,
            "std_d": trace.std_d,
            "expected_std_d": trace.expected_std_d(motion_std),
        }

    def save(self) -> None:
        """Write the file whole or not at all."""
        with renamed(self.path) as unfinished:
            unfinished.write_text(json.dumps(self._content, indent=2) + "\n")


def begin(
    out: Path, model: LoadedModel, settings: ResolvedSettings, image: Any, asked: dict[str, Any]
) -> GenerationManifest:
    """Return the manifest of a new generation, or that of the same one which was begun in this folder.

    Args:
        out: Folder of the generation.
        model: Model to sample.
        settings: With nothing left open.
        image: First frame (a PIL image), if any.
        asked: Prompts, seed, and what else decides the files.

    Raises:
        VideoJamError: the folder holds another generation, or a manifest that can't be read.
    """
    content: dict[str, Any] = {
        "model": model.source,
        "record": model.record.model_dump(mode="json") if model.record else None,
        **_origin(model),
        "versions": provenance.versions(),
        "fps": settings.fps,
        "guidance": settings.guidance.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json", exclude={"guidance", "fps"}),
        "image": None if image is None else fingerprints.of_bytes(image.tobytes()),
        "asked": asked,
        "clips": [],
    }
    path = out / MANIFEST_NAME
    old = read_manifest(path)
    if old is None:
        return GenerationManifest(path, content)
    differs = [name for name in ASKED if name != "asked" and old.get(name) != content[name]]
    differs += [name for name in FROM if old.get(name, content[name]) != content[name]]
    old_asked = old.get("asked")
    differs += [
        name for name in asked if not isinstance(old_asked, dict) or old_asked.get(name) != asked[name]
    ]
    if differs:
        raise VideoJamError(
            expected="a new folder, or the one of this generation, to go on with it",
            found=f"another generation, which differs in: {', '.join(differs)}",
            where=str(path),
            fix="Choose another --out; or delete the folder if its clips are not needed.",
        )
    return GenerationManifest(path, old)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Read the manifest of a generation; None if there is none.

    Args:
        path: The file.

    Raises:
        VideoJamError: it can't be read, or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("clips"), list):
            if all(map(_is_line, content["clips"])):
                return content
            found = "one whose clips lack index or files, or have other values there"
        else:
            found = "something else"
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None  # said when the folder is made
    except (OSError, ValueError) as error:
        found = str(error)
    raise VideoJamError(
        expected="the manifest of a generation",
        found=found,
        where=str(path),
        fix="Choose another --out, or move the file away.",
    )


def prompts_of(folder: str | Path) -> dict[str, str]:
    """Return the prompts of a generation's clips by the files' names, in the order of its clips.

    Args:
        folder: Any; one that `videojam generate` did not write, or that can't be read as such, has none.
    """
    try:
        content = read_manifest(Path(folder) / MANIFEST_NAME) or {"clips": []}
    except VideoJamError:  # another kind of manifest: names and captions say what the clips are
        return {}
    made = sorted(content["clips"], key=lambda clip: int(clip["index"]))
    return {clip["files"].get("video", ""): str(clip["prompt"]) for clip in made if "prompt" in clip}


def _is_line(clip: Any) -> bool:
    """Whether this says which clip it is, and which files it has."""
    if not isinstance(clip, dict) or not isinstance(clip.get("index"), int):
        return False
    files = clip.get("files")
    return isinstance(files, dict) and all(isinstance(name, str) for name in files.values())


def _origin(model: LoadedModel) -> dict[str, Any]:
    """Return what a clip depends on besides what was asked for: the weights, where they run and in which type."""
    transformer = model.family.first_transformer(model.pipeline)
    return {
        "weights": model.weights,
        "device": model.pipeline._execution_device.type,
        "dtype": str(transformer.dtype).removeprefix("torch."),
    }
