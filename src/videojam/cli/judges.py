"""`videojam judges <verb>`: clips for judges that run elsewhere, and their results."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videojam.cli.common import named_folder, say, stoppable
from videojam.evaluation.external.table import EXTERNAL

if TYPE_CHECKING:
    from videojam.evaluation.external.clips import ExportClip

judges_app = typer.Typer(
    help="Judges that run elsewhere: export clips as they read them, import their results.",
    no_args_is_help=True,
)

WHICH = "Which judge. " + " ".join(f"{name}: {offer.about}." for name, offer in EXTERNAL.items())


@judges_app.command("export")
def judges_export(
    judge: Annotated[str, typer.Argument(metavar="JUDGE", help=WHICH)],
    clips: Annotated[
        Path,
        typer.Argument(
            metavar="CLIPS",
            help="Folder of clips, a .txt with the prompt beside each, or of `generate`; or a bench, with --arm.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(parser=named_folder, metavar="OUT", help="Folder to write; it must not exist yet."),
    ],
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV with the columns file and prompt. (default: as CLIPS says)"),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="VMBench: its prompts.json. Physics-IQ: its descriptions CSV. (default: no file)",
        ),
    ] = None,
    arm: Annotated[
        str | None,
        typer.Option(metavar="ARM", help="Arm of the bench that CLIPS is. (default: CLIPS is a folder)"),
    ] = None,
    run: Annotated[
        str, typer.Option(metavar="NAME", help="Physics-IQ: name of the run folder.")
    ] = "model-op-run_01",
) -> None:
    """Write clips in the layout that a judge reads.

    Clips that the judge can't take are listed with the reason, and make the exit code 1.
    """
    say(f"export of {clips} for {judge}")
    from videojam.evaluation.external.judge import ExportOptions
    from videojam.evaluation.external.table import external_judge

    chosen = external_judge(judge)
    found = _clips(clips, table, arm)
    say(f"{judge}: writing {len(found)} clips to {out}")
    from videojam.cli.progress import ProgressDisplay

    with stoppable(f"{out} was not written."), ProgressDisplay("writing", "clips") as progress:
        record = chosen.export(found, out, ExportOptions(prompts, run), progress)
    for name, why in record.unmatched.items():
        say(f"left out: {name}: {why}")
    say(f"Wrote {len(record.files)} of {len(found)} clips to {out}. {EXTERNAL[judge].about}.")
    say(
        f"Next: run {judge} on them, then: videojam judges import {out} {' '.join(map(_quoted, chosen.results))}"
    )
    raise typer.Exit(1 if record.unmatched else 0)


@judges_app.command("import")
def judges_import(
    export: Annotated[Path, typer.Argument(metavar="EXPORT", help="Folder that was exported.")],
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULT...", help="What the judge wrote; docs/vbench.md says which files."),
    ],
    bench: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Bench to take them into, with --arm. (default: print them as JSON)"
        ),
    ] = None,
    arm: Annotated[
        str | None,
        typer.Option(metavar="ARM", help="Arm of the bench that was exported. (default: no bench)"),
    ] = None,
) -> None:
    """Read a judge's results; JSON by the names that the clips have here, or into a bench's report.

    Clips without a result and results of unknown clips are listed, and make the exit code 1.
    """
    say(f"results of {export}")
    from videojam.errors import VideoJamError

    if (bench is None) != (arm is None):
        raise VideoJamError(
            expected="--bench and --arm together",
            found="only --bench" if arm is None else "only --arm",
            where="options",
            fix=f"Add {'--arm' if arm is None else '--bench'}, or leave both out to print the results.",
        )
    from videojam.evaluation.external.judge import import_results

    scores = import_results(export, *results)
    made_anew: list[str] = []
    if bench is None or arm is None:
        typer.echo(json.dumps(dataclasses.asdict(scores), indent=2))
    else:
        from videojam.bench.folder import Bench
        from videojam.bench.score.external import take_scores

        made_anew = take_scores(Bench.open(bench), arm, scores)
        say(f"{scores.judge}: {len(scores.clips) - len(made_anew)} clips of {arm}")
        say(f"Next: videojam bench report --out {bench}")
    for words, names in (
        ("no result", scores.missing),
        ("not exported", scores.unknown),
        ("made again after the export, result not taken", made_anew),
    ):
        for name in names:
            say(f"{words}: {name}")
    raise typer.Exit(1 if scores.missing or scores.unknown or made_anew else 0)


def _clips(folder: Path, table: Path | None, arm: str | None) -> list[ExportClip]:
    if arm is None:
        from videojam.evaluation.external.clips import clips_of_folder

        return clips_of_folder(folder, table)
    from videojam.bench.folder import Bench
    from videojam.bench.score.external import clips_of_arm

    return clips_of_arm(Bench.open(folder), arm)


def _quoted(what: str) -> str:
    """A stand-in for a file that the judge will write."""
    return f"<{what}>"
