"""Results as dataclasses: what ``--json`` prints of one, and the types that its schema is made of.

Standard library only. A field's type is its schema: ``Annotated`` adds keywords of JSON Schema,
the metadata of a field says where its value stands in the object.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

__all__ = [
    "BESIDE",
    "OMITTED",
    "Count",
    "Digest",
    "Hash",
    "NonNegative",
    "Positive",
    "PositiveFloat",
    "Rule",
    "Share",
    "named",
    "plain",
]


class Rule:
    """Keywords of JSON Schema that narrow a type, as metadata of ``Annotated``."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords


Count = Annotated[int, Rule(minimum=0)]
Positive = Annotated[int, Rule(minimum=1)]
NonNegative = Annotated[float, Rule(minimum=0)]
PositiveFloat = Annotated[float, Rule(exclusiveMinimum=0)]
Share = Annotated[float, Rule(minimum=0, maximum=1)]
#: Hash of a configuration or of a memory model.
Hash = Annotated[str, Rule(pattern="^[0-9a-f]{16}$")]
#: SHA-256 in hex.
Digest = Annotated[str, Rule(pattern="^[0-9a-f]{64}$")]

#: Metadata of a field that is an object: its fields stand beside those of the class.
BESIDE = {"beside": True}
#: Metadata of a field that is left out where it is None or empty.
OMITTED = {"omitted": True}


def named(name: str) -> dict[str, str]:
    """Metadata of a field that JSON calls `name`."""
    return {"name": name}


def plain(value: Any) -> Any:
    """`value` as JSON has it: a dataclass as an object, a path as text, an enum as its value.

    A class that says so itself has ``as_dict()``.
    """
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if dataclasses.is_dataclass(value):
        found: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            one = plain(getattr(value, field.name))
            if "beside" in field.metadata:
                found |= one
            elif "omitted" not in field.metadata or one not in (None, [], {}):
                found[field.metadata.get("name", field.name)] = one
        return found
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, PurePath):
        return str(value)
    return value.value if isinstance(value, enum.Enum) else value
