"""`videojam verify`: is a saved model the one that was trained."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from videojam.cli.common import MODEL_HELP, Device, say, start, stoppable
from videojam.out_of_memory import memory_explained

EXIT_DIFFERS, EXIT_NOTHING_TO_COMPARE = 1, 3
WORDS = {
    "equal": "ok: the same latents as when the model was saved, bit for bit",
    "close": "ok: the latents of the saved model, up to the rounding of other hardware or versions",
    "differs": "NOT ok: this is not the model that was saved",
    "absent": "nothing to compare with: no fingerprint was stored beside this model",
}

verify_app = typer.Typer()


@verify_app.command()
def verify(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    device: Device = None,
) -> None:
    """Check that a saved model is the model that was trained: same seed, same latents.

    Exit code 0: it is; 1: it is not, or two runs of one seed differ; 2: it can't be loaded; 3: nothing was
    stored to compare with, as for a base or a converted model that was never trained.
    """
    where = start(f"Verifying {model}", device, "float32")
    from videojam.models.load import quiet_loading
    from videojam.sampling.verify import verify as verify_model

    quiet_loading()
    with (
        stoppable("Nothing is written by it."),
        memory_explained(
            "one small clip in float32",
            ("End" if where == "cpu" else "Use --device cpu, or end")
            + " other programs; `videojam inspect MODEL` counts the weights.",
        ),
    ):
        report = verify_model(model, device=where, say=say)
    for name, value in report.model_dump().items():
        say(f"{name}: {value}")
    if not report.repeats:
        say("NOT ok: the same seed gave other latents the second time")
        raise typer.Exit(EXIT_DIFFERS)
    say(WORDS[report.stored])
    if report.stored == "absent":
        say("`videojam train` stores a fingerprint beside each model that it saves.")
        raise typer.Exit(EXIT_NOTHING_TO_COMPARE)
    if report.ok:
        say(f'Next: videojam generate {shlex.quote(model)} "A PROMPT" --out clips')
    raise typer.Exit(0 if report.ok else EXIT_DIFFERS)
