"""The page, from what the warehouse holds."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from report import plots
from report.warehouse import Warehouse

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(warehouse: Warehouse, stack: str, reload_seconds: int | None = None) -> str:
    """Returns a page of HTML that loads nothing: its plots and its style are part of it.

    Args:
        warehouse: what to show; the same contents give the same page.
        stack: the name of the stack.
        reload_seconds: how often a browser is to read the page again; never if None.
    """
    return _TEMPLATES.get_template("page.html.j2").render(
        warehouse=warehouse, stack=stack, reload_seconds=reload_seconds, plots=plots
    )
