"""`videojam export`: a run or a model becomes a folder to give away, with its card, proven to load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from videojam.errors import VideoJamError
from videojam.files import require_new, written_whole
from videojam.joint.convert import require_outside
from videojam.models.check import read_json
from videojam.models.folder import ModelFolder, open_folder
from videojam.models.load import load_model
from videojam.models.record import FINGERPRINT_NAME, MotionRecord, save_record
from videojam.models.resolve import is_hub_id, resolve
from videojam.models.single_file import require_original_names, write_single_file
from videojam.sampling.verify import load_for_fingerprint, save_fingerprint, verify
from videojam.training.outcome.card import CURVE, NAME, RECIPE, CardFacts, card_text, public_recipe
from videojam.training.outcome.curve import draw_curve
from videojam.training.outcome.licence import licence_of
from videojam.training.outcome.merge import whole_model
from videojam.training.outcome.run_facts import RunFacts, is_run, read_run
from videojam.training.outcome.samples import make_samples
from videojam.training.outcome.settings import ExportSettings

NOT_COPIED = (".git", ".cache", NAME)
PARTS = ".parts"
FILE_SUFFIX = ".safetensors"
Say = Callable[[str], None]


def export(
    source: str | Path,
    out: str | Path,
    settings: ExportSettings | None = None,
    *,
    say: Say = lambda line: None,
) -> Path:
    """Write a model to give away: everything merged, with a card, and proven to load.

    A folder is loaded through the public path and sampled, and the same seed must give the same latents as when the
    model was saved. A single file is read through diffusers' own conversion, and every tensor must be equal.

    Args:
        source: Run folder, pipeline folder, hub id or shipped model.
        out: Folder to write; must not exist. Of a single file, a name that ends in .safetensors is that file.
        settings: What is merged, and what the card shows.
        say: Hears what is done.

    Returns:
        The folder, or the file.

    Raises:
        VideoJamError: a source that can't be used, settings that don't fit it, no room, or a failed proof; nothing is
            left behind then.
    """
    settings, out = settings or ExportSettings(), Path(out)
    require_fitting_name(out, settings)
    require_new(out)
    folder = resolve(source)
    require_outside(out, folder)
    run = read_run(folder) if is_run(folder) else None
    file = f"{out.stem}{FILE_SUFFIX}" if names_file(out) else None
    with written_whole(out, file=file) as temporary:
        parts = temporary / PARTS
        parts.mkdir(parents=True)
        model = whole_model(source, run, settings, parts)
        opened = open_folder(model)
        facts = _facts(out.name, opened, run, settings)
        if facts.takes_image and settings.prompts:
            raise _no_image(model)
        if file is not None:
            _require_one_transformer(opened, out)
            _write_single_files(opened, temporary, out.stem, say)
            return out  # a file has no card
        if settings.single_file:
            facts = replace(facts, single_files=_write_single_files(opened, temporary, out.name, say))
        else:
            say("copying the folder")
            _copy(model, temporary)
            _forget_folders(temporary, opened)
            # what was merged here has been verified where it was written
            stored = "equal" if model.is_relative_to(parts) else _prove(temporary, settings.device, say)
            facts = replace(facts, proof=f"`videojam verify` found the stored latents {stored}.")
        if settings.prompts:
            loaded = load_model(model, device=settings.device)
            made = make_samples(loaded, temporary, settings, run.config if run else None, say)
            facts = replace(facts, samples=made)
        else:
            say("no samples in the card: --prompt makes them")
        if run is not None:
            (temporary / RECIPE).write_text(public_recipe(run.config), encoding="utf-8")
            facts = replace(facts, has_curve=draw_curve(run.lines, temporary / CURVE))
            if not facts.has_curve:
                say(
                    'no picture of the curve: the log is empty, or matplotlib is missing; pip install "videojam[plots]"'
                )
        if facts.licence.found_in is None:
            say("the base's folder states no licence: look it up before sharing, and give it with --license")
        (temporary / NAME).write_text(card_text(facts), encoding="utf-8")
        shutil.rmtree(parts)
    return out


def names_file(out: Path) -> bool:
    """Whether the name of an export is that of a file, and not of a folder."""
    return out.name.lower().endswith(FILE_SUFFIX)


def require_fitting_name(out: Path, settings: ExportSettings, *, uploads: bool = False) -> None:
    """Refuse a file's name for what is written as a folder, before anything is read.

    Args:
        out: What is to be written.
        settings: Whether it is a single file, and what its card would show.
        uploads: Whether it is uploaded, with its card.

    Raises:
        VideoJamError: a name that ends in .safetensors for a stock folder, or for a file that needs a card.
    """
    if not names_file(out) or (
        settings.single_file and not (settings.prompts or settings.license or uploads)
    ):
        return
    if settings.single_file:
        expected = "the name of a folder, in which the card with samples and licence stands"
        fix = "Name a folder, or leave out prompts, licence and upload: a file has no card."
    else:
        expected = "the name of a folder, as a whole pipeline is written"
        fix = f"Leave out {FILE_SUFFIX}, or ask for a single file (--single-file)."
    raise VideoJamError(expected=expected, found=f"that of a file, {out.name}", where=f"--out {out}", fix=fix)


def _require_one_transformer(model: ModelFolder, out: Path) -> None:
    if len(model.transformers) > 1:
        raise VideoJamError(
            expected=f"the name of a folder for the files of {' and '.join(model.transformers)}",
            found=f"that of one file, {out.name}",
            where=f"--out {out}",
            fix=f"Leave out {FILE_SUFFIX}: the folder gets a file for each.",
        )


def _no_image(model: Path) -> VideoJamError:
    return VideoJamError(
        expected="no prompts for an image-to-video model, whose samples need a first frame too",
        found="prompts",
        where=str(model),
        fix="Leave the prompts out; `videojam generate` with --image makes samples.",
    )


def _facts(title: str, model: ModelFolder, run: RunFacts | None, settings: ExportSettings) -> CardFacts:
    """Return what is known before anything is written."""
    folders = [model.path]
    base = model.record.base if model.record else run.config.base if run else ""
    if base and not is_hub_id(base):
        folders += [resolve(base)] if base.startswith("tiny:") or Path(base).is_dir() else []
    if model.pipeline_class is None:
        raise VideoJamError(
            expected="a whole pipeline folder, or a run",
            found="a bare transformer folder",
            where=str(model.path),
            fix="Give the pipeline's folder.",
        )
    return CardFacts(
        title=title,
        pipeline_class=model.pipeline_class,
        takes_image="ImageToVideo" in model.pipeline_class,
        record=model.record,
        run=run,
        licence=licence_of(folders, settings.license),
    )


def _write_single_files(model: ModelFolder, target: Path, stem: str, say: Say) -> list[str]:
    """Write a file for each transformer, named after it where there are two."""
    for transformer in model.transformers.values():
        require_original_names(transformer)
    names = []
    for component, transformer in model.transformers.items():
        name = f"{stem}.safetensors" if len(model.transformers) == 1 else f"{stem}-{component}.safetensors"
        say(f"writing {name}, and reading it back through diffusers' conversion")
        write_single_file(transformer, target / name, public_record(model.record))
        names.append(name)
    return names


def _copy(model: Path, target: Path) -> None:
    """Copy a folder's files; links of the hub's cache are followed, and what was merged here is moved."""
    ours = model.is_relative_to(target)
    for path in sorted(model.iterdir()):
        if path.name in NOT_COPIED:
            continue
        if ours:
            shutil.move(path, target / path.name)
        elif path.is_dir():
            shutil.copytree(path, target / path.name, ignore=shutil.ignore_patterns(*NOT_COPIED))
        else:
            shutil.copy2(path, target / path.name)


def public_record(record: MotionRecord | None) -> MotionRecord | None:
    """Return a record without the folders of this machine: of a base in a folder, only its name is kept."""
    if record is None or is_hub_id(record.base):
        return record
    return record.model_copy(update={"base": Path(record.base).name})


def _forget_folders(folder: Path, model: ModelFolder) -> None:
    """Take the folders of this machine out of the copy's record, and out of configs that diffusers wrote."""
    record = public_record(model.record)
    if record is not None:
        save_record(record, folder)
    for path in folder.glob("*/config.json"):
        config = read_json(path)
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _prove(folder: Path, device: str, say: Say) -> str:
    """Load the folder through the public path and compare its latents with those of its saving: equal or close."""
    if not (folder / FINGERPRINT_NAME).is_file():
        say("storing a fingerprint: the model has none yet")
        save_fingerprint(load_for_fingerprint(folder, device=device), folder)
    say("loading the copy, to compare its latents with those of the model when it was saved")
    report = verify(folder, device)
    if not report.ok:
        raise VideoJamError(
            expected="the copy to sample what the model sampled when it was saved",
            found=f"latents that differ by {report.max_difference} deviations"
            if report.repeats
            else "other latents the second time",
            where=str(folder),
            fix="Check the source with `videojam verify`; nothing was written.",
        )
    return report.stored
