"""The official VBench package, out of process, in an environment of its own.

It pins transformers 4.33.2 and numpy < 2, so it can't share an environment with current diffusers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from videojam.errors import VideoJamError
from videojam.evaluation.vbench import official_driver
from videojam.evaluation.vbench.aggregate import DIMENSIONS
from videojam.evaluation.vbench.official_results import OfficialResults, read_official
from videojam.misfits import reason
from videojam.motion.as_mp4 import copy_as_mp4
from videojam.motion.timing import read_timing

REQUIREMENTS = ("setuptools<81", "wheel", "numpy<2", "torch==2.5.1", "torchvision==0.20.1", "vbench==0.1.5")
"""Its wheel of openai-clip imports pkg_resources, hence setuptools; torch 2.5.1 still loads its pickles."""

NAME = "official"
"""With which the names of its files begin."""

PYTHONS = ((3, 9), (3, 11))
"""Oldest and newest Python with wheels of all that it pins."""


def prepare_commands(env: Path, python: str, pip_args: Sequence[str] = ()) -> list[list[str]]:
    """Return the commands that make its environment.

    Args:
        env: Folder of the environment.
        python: Interpreter to make it from.
        pip_args: More arguments for pip, such as an index with CPU wheels.
    """
    return [
        [python, "-m", "venv", str(env)],
        [str(_python_of(env)), "-m", "pip", "install", *pip_args, *REQUIREMENTS],
    ]


def prepare(env: str | Path, python: str | None = None, pip_args: Sequence[str] = ()) -> str:
    """Make the environment of the official package, or finish one that was begun.

    Args:
        env: Folder of the environment.
        python: Interpreter, 3.9 to 3.11; looked for if not given.
        pip_args: More arguments for pip.

    Returns:
        The version of vbench in it.

    Raises:
        VideoJamError: no suitable Python, or a command failed.
    """
    env = Path(env)
    if python is not None:
        _check_python(python)
    create, install = prepare_commands(env, python or _find_python(), pip_args)
    if not _python_of(env).is_file():
        _run(create, f"making {env}")
    _run(install, f"installing into {env}")
    return installed_version(env)


def installed_version(env: str | Path) -> str:
    """Return the version of vbench in an environment.

    Args:
        env: Folder of the environment.

    Raises:
        VideoJamError: no environment there, or vbench is not in it.
    """
    interpreter = _python_of(Path(env))
    if not interpreter.is_file():
        raise VideoJamError(
            expected="an environment with the official VBench",
            found="none",
            where=str(env),
            fix=f"Make it once: videojam vbench prepare {env}",
        )
    code = "from importlib.metadata import version; print(version('vbench'))"
    return _run([str(interpreter), "-c", code], f"looking for vbench in {env}").strip()


def run_command(env: Path, request: Path) -> list[str]:
    """Return the command that scores a request; -I keeps all but the environment's packages off its path."""
    return [str(_python_of(env)), "-I", str(Path(official_driver.__file__)), str(request)]


def run_official(
    env: str | Path,
    clips: Iterable[str | Path],
    out: str | Path,
    dimensions: Sequence[str] = DIMENSIONS,
    device: str = "cuda",
    local: bool = False,
) -> OfficialResults:
    """Score clips with the official package and read its result.

    The clips are linked into a folder of their own, since the package takes everything that lies in a folder; those of
    a variable rate are encoded again at a constant one, so that its counts of frames are times.

    Args:
        env: Environment made by `prepare`.
        clips: mp4 files with their true frame rate and distinct names.
        out: Where its files go: result, manifest, log.
        dimensions: Which to measure.
        device: As torch names it.
        local: Use only weights in VBench's cache, without its other downloads.

    Raises:
        VideoJamError: a clip that it can't take, an unknown dimension, no environment, or the package failed.
    """
    env, out = Path(env), Path(out).resolve()
    unknown = set(dimensions) - set(DIMENSIONS)
    if unknown or not dimensions:
        raise VideoJamError(
            expected=f"dimensions among {', '.join(DIMENSIONS)}",
            found=", ".join(sorted(unknown)) or "none",
            where="VBench",
            fix="Correct the names.",
        )
    installed_version(env)
    out.mkdir(parents=True, exist_ok=True)
    staged = _stage([Path(clip) for clip in clips], out / f"{NAME}_clips")
    request = out / f"{NAME}_request.json"
    content = {
        "clips": str(staged),
        "out": str(out),
        "name": NAME,
        "dimensions": list(dimensions),
        "device": device,
        "local": local,
    }
    request.write_text(json.dumps(content, indent=2), encoding="utf-8")
    result = out / f"{NAME}_eval_results.json"
    result.unlink(missing_ok=True)
    _run(run_command(env, request), "the official VBench", log=out / f"{NAME}.log")
    return read_official(result)


def _stage(clips: list[Path], folder: Path) -> Path:
    names = [clip.stem for clip in clips]
    wrong = [str(clip) for clip in clips if clip.suffix.lower() != ".mp4" or not clip.is_file()]
    wrong += [f"{name} twice" for name in sorted(set(names)) if names.count(name) > 1]
    if wrong or not clips:
        raise VideoJamError(
            expected="mp4 files with distinct names",
            found=", ".join(wrong[:5]) or "no clips",
            where="clips for the official VBench",
            fix="Write them as mp4 at their true frame rate (a gif changes smoothness and dynamic degree).",
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for clip in clips:
        target = folder / f"{clip.stem}.mp4"
        if _is_constant(clip):
            target.symlink_to(clip.resolve())
        else:
            copy_as_mp4(clip, target)
    return folder


def _is_constant(clip: Path) -> bool:
    try:
        return read_timing(clip).is_constant
    except VideoJamError:
        return True  # the package says what is wrong with it


def _python_of(env: Path) -> Path:
    return env / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _find_python() -> str:
    names = [f"python3.{minor}" for minor in range(PYTHONS[1][1], PYTHONS[0][1] - 1, -1)]
    for candidate in [sys.executable, *filter(None, map(shutil.which, names))]:
        try:
            _check_python(candidate)
        except VideoJamError:
            continue
        return candidate
    raise _wrong_python(f"none of {', '.join(names)}", "PATH")


def _check_python(python: str) -> None:
    code = "import sys; print(*sys.version_info[:2])"
    version = tuple(map(int, _run([python, "-c", code], f"asking {python} for its version").split()))
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        raise _wrong_python(".".join(map(str, version)), python)


def _wrong_python(found: str, where: str) -> VideoJamError:
    return VideoJamError(
        expected="Python 3.9 to 3.11, for which all that VBench pins has wheels",
        found=found,
        where=where,
        fix="Install one and name it: --python python3.11",
    )


def _run(command: list[str], what: str, log: Path | None = None) -> str:
    """Run a command without this environment's packages on its path; return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise VideoJamError(
            expected=f"{what} to start",
            found=reason(error),
            where=command[0],
            fix="Check the path of the interpreter.",
        ) from error
    if log:
        log.write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        last = "\n".join((done.stdout if log else done.stderr or done.stdout).strip().splitlines()[-5:])
        raise VideoJamError(
            expected=f"{what} to succeed",
            found=f"exit code {done.returncode}: {last}",
            where=str(log) if log else " ".join(command),
            fix="Read the messages above; weights are downloaded on first use, so a network may be needed.",
        )
    return done.stdout
