"""Sphinx configuration of the documentation site: `make site` builds the same Markdown that the repository shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sphinx.application import Sphinx

import videojam

ROOT = Path(__file__).parents[1]
IN_PLACE_OF = {
    "index": "README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "security": "SECURITY.md",
}
"""Pages that show a file of the repository's root, which lies outside of Sphinx's source folder."""

project = "videojam"
author = copyright = "The videojam authors"
release = version = videojam.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"videojam {release}"
html_copy_source = False
myst_heading_anchors = 3  # the anchors that GitHub makes of headings
autodoc_typehints = "description"  # types and shapes stand beside the arguments
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False


def _show_file_of_root(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the file of the root in place of the page's words; its hidden tables of contents stay."""
    if page in IN_PLACE_OF:
        text = (ROOT / IN_PLACE_OF[page]).read_text(encoding="utf-8")
        text = re.sub(r"\]\((?!https?:|#)", "](../", text).replace("](../docs/", "](")
        for stub, file in IN_PLACE_OF.items():
            text = text.replace(f"](../{file}", f"]({stub}.md")
        source[0] = "\n\n".join([text, *re.findall(r"^```\{toctree\}.*?^```", source[0], re.M | re.S)])


def _without_validators(
    app: Sphinx, what: str, name: str, thing: object, *rest: Any
) -> tuple[str, None] | None:
    """Show a config's signature as keywords: pydantic's own repeats every validator of every field."""
    is_config = isinstance(thing, type) and issubclass(thing, BaseModel)
    return ("(**fields)", None) if is_config else None


def _with_fields(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """List the fields of a config with their defaults and meanings below its docstring."""
    if isinstance(thing, type) and issubclass(thing, BaseModel):
        lines.append("")
        for key, field in thing.model_fields.items():
            default = "" if field.is_required() else f" (default: ``{field.default!s}``)"
            lines.append(f":param {key}: {field.description}{default}")


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("source-read", _show_file_of_root)
    app.connect("autodoc-process-signature", _without_validators)
    app.connect("autodoc-process-docstring", _with_fields)
