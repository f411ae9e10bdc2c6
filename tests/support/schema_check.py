"""Check what ``--json`` printed against the schema that it names."""

from __future__ import annotations

import functools
import json
from typing import Any

from jschon import JSON, JSONSchema, create_catalog

from weft import schemas


@functools.cache
def validators() -> dict[str, JSONSchema]:
    """Schema name -> validator; those first that others refer to."""
    catalog = create_catalog("2020-12")
    loaded = {name: schemas.load(name) for name in schemas.names()}
    ordered = sorted(loaded, key=lambda name: json.dumps(loaded[name]).count("$ref"))
    return {name: JSONSchema(loaded[name], catalog=catalog) for name in ordered}


def load_checked(text: str) -> dict[str, Any]:
    """The one object in `text`; an assertion fails where it breaks its schema."""
    data: dict[str, Any] = json.loads(text)
    result = validators()[data["schema"]].evaluate(JSON(data))
    assert result.valid, json.dumps(result.output("basic"), indent=1)
    return data
