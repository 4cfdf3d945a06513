"""What every page of clips has in common: the head with its policy and style, the player, the script."""

from __future__ import annotations

from importlib.resources import files
from string import Template

from videojam.evaluation import arm_colours


def whole_page(name: str, title: str, content: dict[str, str], css: str = "") -> str:
    """Return a page as HTML that needs no other file.

    Args:
        name: File of this folder that holds the page's body, with `$player` where the player is.
        title: Of the page, escaped.
        content: What else stands for the names in the body.
        css: Rules beside those of every page.
    """
    shell, body, player, style, script = (
        (files("videojam.bench.report") / part).read_text(encoding="utf-8")
        for part in ("shell.html", name, "player.html", "page.css", "page.js")
    )
    return Template(shell).substitute(
        title=title,
        css=f"{arm_colours.css()}\n{style}{css}",
        body=Template(body).substitute(player=player.rstrip("\n"), **content).rstrip("\n"),
        js=script,
    )
