"""What made a file: the versions of the packages that decide its numbers, and the git revision of this one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from videojam import __version__

PACKAGES: tuple[str, ...] = ("torch", "diffusers", "transformers")
"""What a clip or a score depends on, besides videojam itself."""


def versions() -> dict[str, str]:
    """Return the versions of videojam and of `PACKAGES`."""
    return {"videojam": __version__, **versions_of(PACKAGES)}


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of installed packages by name.

    Args:
        packages: Their names.
    """
    return {name: version(name) for name in packages}


def git_revision(file: Path = Path(__file__)) -> str | None:
    """Return the revision of the repository that tracks a file; None if none does, or there is no git.

    An installed package can lie in the folder of another project, whose revision says nothing of it.

    Args:
        file: By default, of this package.
    """
    git = ("git", "-C", str(file.parent))
    tracked, revision = (*git, "ls-files", "--error-unmatch", file.name), (*git, "rev-parse", "HEAD")
    try:
        subprocess.run(tracked, capture_output=True, check=True)
        return subprocess.run(revision, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
