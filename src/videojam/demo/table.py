"""The demo's table on the terminal."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from videojam.demo.result import ROWS, WORLD, DemoResult
from videojam.world import KINDS


def print_result(result: DemoResult, console: Console | None = None) -> None:
    """Print the coherence of each arm, what its size allows to say, and where the page is."""
    console = console or Console()
    n = result.tally(WORLD).coherent.n
    title = f"Coherent clips, n = {n} an arm (95 % Wilson interval)"
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column("arm", no_wrap=True)
    for name in ("coherent", *KINDS, "as asked"):
        table.add_column(name, justify="right", no_wrap=True)
    for arm, label in ROWS.items():
        tally = result.tally(arm)
        coherent = tally.coherent
        kinds = ("{}/{}".format(*tally.kinds.get(kind, (0, 0))) for kind in KINDS)
        interval = f"{coherent.mean:.0%} ({100 * coherent.low:.0f}–{100 * coherent.high:.0f})"
        table.add_row(label, interval, *kinds, f"{tally.follows_prompt.mean:.0%}")
    console.print(table)
    console.print(difference_sentence(result))
    console.print(
        f"{n} prompts are for looking, not for ranking: the comparison on many clips is in the README."
    )
    console.print(f"Took {result.provenance['seconds']:.0f} s. Page: {result.page.resolve()}", soft_wrap=True)


def difference_sentence(result: DemoResult) -> str:
    """Say how VideoJAM and the control differ on the same prompts, and whether this run can tell."""
    difference = result.difference("videojam", "control")
    low, high = (100 * value for value in (difference.low, difference.high))
    verdict = (
        "it includes zero, so this run can't tell them apart" if low <= 0 <= high else "it excludes zero"
    )
    return (
        f"VideoJAM − control: {100 * difference.mean:+.0f} points "
        f"(95 % paired bootstrap interval {low:+.0f} … {high:+.0f}, {difference.n} pairs): {verdict}."
    )
