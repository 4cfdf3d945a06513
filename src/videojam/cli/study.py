"""`videojam study <verb>`: which of two clips people prefer, from the pairs to the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videojam.cli.common import named_file, named_folder, named_path, say, seed_number, stoppable
from videojam.cli.flags import grouped

if TYPE_CHECKING:
    from videojam.study.config import Study

study_app = typer.Typer(
    help="Human votes by two-alternative forced choice: pairs of clips, a page for raters, a report.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="Folder of the study.", metavar="DIR", parser=named_path)]


@dataclass(frozen=True)
class Pairs:
    """Which pairs."""

    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM",
            help="Only these arms, repeat for each; the votes for the first one are reported. (default: all)",
        ),
    ] = None
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Every two arms, not only the first with each other one.")
    ] = False
    prompts: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Prompts drawn at random. (default: all of them)")
    ] = None


@dataclass(frozen=True)
class Rating:
    """How it is rated; None is the config's."""

    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML with questions, consent, rule of exclusion and more. (default: the paper's design)",
        ),
    ] = None
    raters: Annotated[int | None, typer.Option(metavar="N", min=1, help="Votes a pair. (default: 5)")] = None
    pairs_per_rater: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Most pairs a rater. (default: 40)")
    ] = None
    checks: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Different attention checks to make. (default: 8)")
    ] = None
    repeats: Annotated[
        float | None,
        typer.Option(metavar="SHARE", min=0, max=1, help="Share of pairs shown twice. (default: 0.1)"),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(parser=seed_number, metavar="N", help="Of prompts and of shuffled frames. (default: 0)"),
    ] = None


@dataclass(frozen=True)
class Server:
    """Where and to whom the server listens."""

    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to bind; anything but loopback lets other machines in."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="TCP port; 0 is any that is free.")
    ] = 8000
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Anyone who reaches the address may join, not only who has a link.")
    ] = False
    joins_per_hour: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Most who may join from one address within an hour, with --open."
        ),
    ] = 20


@study_app.command("new")
@grouped
def study_new(
    sources: Annotated[
        list[str], typer.Argument(metavar="BENCH|NAME=FOLDER...", help="Where the clips are.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to write; it must not exist yet.", parser=named_folder, metavar="DIR")
    ],
    pairs: Pairs,
    rating: Rating,
) -> None:
    """Pair clips of the same prompt, and make attention checks: a study that is ready to be served.

    A folder of clips has a .txt with the prompt beside each, or is one that `videojam generate` wrote. Clips in no pair
    are listed, and make the exit code 1.
    """
    say(f"study of {', '.join(sources)}: pairing and copying clips to {out}")
    from videojam.study.config import budget, load_config
    from videojam.study.create import Asked, new_study

    chosen = load_config(
        rating.config,
        raters_per_pair=rating.raters,
        pairs_per_rater=rating.pairs_per_rater,
        num_checks=rating.checks,
        repeat_share=rating.repeats,
        seed=rating.seed,
    )
    asked = Asked(sources, pairs.arm or [], pairs.all_pairs, pairs.prompts)
    from videojam.cli.progress import ProgressDisplay

    with stoppable(f"{out} was not written."), ProgressDisplay("copying", "pairs") as progress:
        study = new_study(out, asked, chosen, progress)
    for name, why in study.unmatched.items():
        say(f"in no pair: {name}: {why}")
    for line in durations(study):
        say(line)
    if len(study.checks) < chosen.num_checks:
        say(f"attention checks: {len(study.checks)} of {chosen.num_checks}; few other clips move visibly")
    typer.echo(budget(study))
    say(f"Next: videojam study links {out} --count 5, then: videojam study serve {out}")
    raise typer.Exit(1 if study.unmatched else 0)


@study_app.command("links")
def study_links(
    folder: Folder,
    count: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many raters.")] = 1,
    url: Annotated[
        str, typer.Option(metavar="URL", help="Where the server is reached.")
    ] = "http://127.0.0.1:8000",
) -> None:
    """Make links, one for each rater; they are shown now and never again, since only their hash is kept."""
    from videojam.study.config import load_study, require_clips
    from videojam.study.database import Database
    from videojam.study.raters import invite

    study = load_study(folder)
    require_clips(folder, study)
    database = Database.open(folder, study)
    with database.write() as connection:
        before = connection.execute("SELECT COUNT(*) FROM raters").fetchone()[0]
        tokens = [invite(connection, f"rater {before + i + 1}") for i in range(count)]
    database.close()
    for i, token in enumerate(tokens):
        typer.echo(f"rater {before + i + 1}\t{url.rstrip('/')}/#t={token}")


@study_app.command("serve")
@grouped
def study_serve(folder: Folder, server: Server) -> None:
    """Serve the page of a study until Ctrl-C; every vote is on the disk before it is acknowledged."""
    from videojam.study.serve import Listening, serve

    where = Listening(server.host, server.port, server.open_to_all, server.joins_per_hour)
    with stoppable(f"All votes are kept. videojam study report {folder} reports them."):
        serve(folder, where, say)


@study_app.command("report")
def study_report(
    folder: Folder,
    bench: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Bench whose report is to show these votes beside its own measures. (default: no bench)",
        ),
    ] = None,
) -> None:
    """Report the votes so far, also while the server runs: tables here, files in DIR/report."""
    say(f"report of {folder}")
    from videojam.study.report import write_report
    from videojam.study.text import result_lines

    results = write_report(folder, bench)
    typer.echo("\n".join(result_lines(results)))
    typer.echo(f"Page: {folder / 'report' / 'index.html'}")
    if bench is not None:
        say(f"Next: videojam bench report --out {bench}")


@study_app.command("import")
def study_import(
    votes: Annotated[
        list[Path],
        typer.Argument(metavar="VOTES...", help="Label Studio's JSON, or CSV; see docs/human-study.md."),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to write; it must not exist yet.", parser=named_folder, metavar="DIR")
    ],
    arm: Annotated[
        str | None,
        typer.Option(metavar="ARM", help="Arm whose votes are reported. (default: the first one found)"),
    ] = None,
) -> None:
    """Take votes that were made elsewhere, as a study that can be reported.

    Rows that hold no vote are listed, and make the exit code 1.
    """
    say(f"import of {', '.join(map(str, votes))}")
    from videojam.study.imports import import_votes

    study, left_out = import_votes(votes, out, arm)
    for where, why in left_out.items():
        say(f"left out: {where}: {why}")
    say(f"{len(study.pairs)} pairs of {', '.join(study.arms)}. Next: videojam study report {out}")
    raise typer.Exit(1 if left_out else 0)


@study_app.command("backup")
def study_backup(
    folder: Folder,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write; it must not exist yet.", parser=named_file)
    ],
) -> None:
    """Copy the votes, also while the server runs."""
    from videojam.study.config import load_study
    from videojam.study.database import backup

    typer.echo(backup(folder, load_study(folder), file))


def durations(study: Study) -> list[str]:
    """Warn of arms whose clips raters can distinguish by their length."""
    from videojam.study.create import lengths

    found = lengths(study)
    shortest, longest = min(found.values(), default=0.0), max(found.values(), default=0.0)
    if longest <= 1.1 * shortest:
        return []
    words = ", ".join(f"{arm} {length:.1f} s" for arm, length in found.items())
    return [
        f"raters can distinguish the arms by their length: {words}; give clips of one length if that matters"
    ]
