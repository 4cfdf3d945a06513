"""The judges that run elsewhere: one line each; the class has the export, the reader and the measures."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

from videojam.errors import VideoJamError

if TYPE_CHECKING:
    from videojam.evaluation.external.judge import ExternalJudge


class Offer(NamedTuple):
    """A judge as it is offered.

    Attributes:
        path: Its class, as MODULE:NAME.
        about: For help: what it is, and what of its layout could not be tried.
    """

    path: str
    about: str


_ROOM = "videojam.evaluation.external"

EXTERNAL: dict[str, Offer] = {
    "vmbench": Offer(f"{_ROOM}.vmbench:VMBench", "VMBench, from its scripts; not run by us"),
    "videophy": Offer(f"{_ROOM}.videophy:VideoPhy", "VideoPhy and VideoPhy-2, from its scripts; not run by us"),
    "physics-iq": Offer(f"{_ROOM}.physics_iq:PhysicsIQ", "Physics-IQ, written from its README; not run by us"),
    "trajan": Offer(f"{_ROOM}.trajan:Trajan", "TRAJAN, which has no layout of its own; not run by us"),
}  # fmt: skip
"""By name; nothing else lists them."""


def external_judge(name: str) -> ExternalJudge:
    """Return a judge of the table.

    Raises:
        VideoJamError: an unknown name.
    """
    if name not in EXTERNAL:
        raise VideoJamError(
            expected=f"one of {', '.join(EXTERNAL)}",
            found=repr(name),
            where="judge that runs elsewhere",
            fix="Correct the name; `videojam judges export --help` says what each is.",
        )
    module, _, attribute = EXTERNAL[name].path.partition(":")
    return getattr(importlib.import_module(module), attribute)()
