"""Templates of generated Verilog, Tcl, constraints and hardware descriptions."""

from __future__ import annotations

from typing import Any

__all__ = ["render"]


def render(name: str, **values: Any) -> str:
    """The template `name` filled with `values`; a missing value is an error. It takes Jinja."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "."),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(name).render(**values)
