"""What comes from outside, a file, a board, a client: names and JSON, refused early.

Standard library only: this runs on a board. Each function raises ValueError with a sentence;
who calls it knows what the thing is, and makes the error of it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "MAX_DEPTH",
    "MAX_JSON_BYTES",
    "NAME",
    "check_name",
    "conform",
    "inside",
    "is_label",
    "is_name",
    "parse_json",
    "printable",
    "record",
    "safe_name",
]

Kind = typing.TypeVar("Kind")

#: What may become the name of a file: no separator, no leading dot or dash, no control character.
NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
#: Objects and lists in each other.
MAX_DEPTH = 64
#: A header, a manifest, an answer.
MAX_JSON_BYTES = 16 << 20


def is_name(value: object) -> bool:
    """Whether `value` is a string that may name a file, see :data:`NAME`."""
    return isinstance(value, str) and re.fullmatch(NAME, value, re.ASCII) is not None


def is_label(value: object) -> bool:
    """Whether `value` is a string that may be shown: printable, 256 characters at most."""
    return isinstance(value, str) and len(value) <= 256 and value.isprintable()


def check_name(what: str, value: object) -> str:
    """`value`; raises ValueError where it may not name a file."""
    if not is_name(value):
        shown = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:80]}..."
        raise ValueError(
            f"{what} must be a name of 1 to 128 letters, digits and ._- that starts with no dot "
            f"or dash, not {shown}"
        )
    return typing.cast(str, value)


def safe_name(text: str) -> str:
    """A name for what the user calls `text`: other characters become ``_``."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:80].lstrip(".-") or "unnamed"


def inside(folder: Path, name: str) -> Path:
    """``folder/name``, whose links lead nowhere else; raises ValueError."""
    path = folder / check_name("a file", name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} is a link out of its folder")
    return path


def parse_json(data: bytes | str, limit: int = MAX_JSON_BYTES) -> Any:
    """The value of a JSON document without NaN, infinity, repeated keys or endless nesting."""
    if len(data) > limit:
        raise ValueError(f"it has {len(data)} bytes, at most {limit} are read")
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    depth = deepest = 0
    for bracket in re.findall(r'"(?:[^"\\]|\\.)*"|[][{}]', text, re.DOTALL):
        if len(bracket) == 1:
            depth += 1 if bracket in "[{" else -1
            deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once_each,
                      parse_float=_finite)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is beyond the largest float")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} is there twice")
    return found


def conform(value: Any, kind: Any, what: str) -> None:
    """Refuse a value of JSON that is not of type `kind`, as the result classes annotate them.

    Parameters
    ----------
    kind : a plain type, ``Annotated`` with a :class:`~weft.results.Rule`, ``Mapping[K, V]``,
        ``list[T]``, or a union of these

    Raises
    ------
    ValueError
        The sentence says where in `what`, the rule, and what came.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        conform(value, arguments[0], what)
        for rule in arguments[1:]:
            _check_rule(value, rule.keywords, what)
    elif origin is typing.Literal:
        _check_rule(value, {"enum": list(arguments)}, what)
    elif origin in (typing.Union, types.UnionType):
        if not any(_conforms(value, one) for one in arguments):
            raise ValueError(f"{what} must be one of {len(arguments)} types, not {_shown(value)}")
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        _require(isinstance(value, dict), what, "an object", value)
        for key, one in value.items():
            conform(key, arguments[0], f"a key of {what}")
            conform(one, arguments[1], f"{what}[{key!r}]")
    elif origin is list:
        _require(isinstance(value, list), what, "a list", value)
        for number, one in enumerate(value):
            conform(one, arguments[0], f"{what}[{number}]")
    elif kind is float:
        _require(type(value) in (int, float) and abs(value) < 1e300, what, "a number", value)
    elif dataclasses.is_dataclass(kind):
        _require(isinstance(value, dict), what, "an object", value)
    elif kind is not Any:
        _require(type(value) is kind, what, getattr(kind, "__name__", str(kind)), value)


def record(kind: type[Kind], value: Any, what: str) -> Kind:
    """The dataclass `kind` of an object of JSON that has its fields, each of its type.

    Raises
    ------
    ValueError
        As :func:`conform`; or a key is missing or unknown.
    """
    _require(isinstance(value, dict), what, "an object", value)
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    unknown = set(value) - {f.name for f in fields}
    lacking = {f.name for f in fields if "omitted" not in f.metadata} - set(value)
    if unknown or lacking:
        raise ValueError(f"{what}: check the keys {', '.join(sorted(map(str, unknown | lacking)))}")
    for name, one in value.items():
        conform(one, hints[name], f"{what}: {name}")
    return kind(**value)


def printable(text: str, limit: int = 4000) -> str:
    """`text` for a terminal: what controls one is shown as its code, and an end is cut off."""
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."


def _conforms(value: Any, kind: Any) -> bool:
    try:
        conform(value, type(None) if kind is None else kind, "it")
    except ValueError:
        return False
    return True


#: Keywords of JSON Schema that result classes use.
_RULES: Mapping[str, Callable[[Any, Any], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "minLength": lambda value, limit: len(value) >= limit,
    "pattern": lambda value, limit: re.fullmatch(limit, value) is not None,
    "enum": lambda value, limit: value in limit,
    "const": operator.eq,
}


_SAID = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "above",
    "minLength": "of a length of at least",
    "pattern": "of the form",
    "enum": "one of",
    "const": "exactly",
}


def _check_rule(value: Any, rule: Mapping[str, Any], what: str) -> None:
    for keyword, limit in rule.items():
        said = f"{_SAID[keyword]} {', '.join(limit) if keyword == 'enum' else limit}"
        _require(_RULES[keyword](value, limit), what, said, value)


def _require(ok: bool, what: str, rule: str, value: Any) -> None:
    if not ok:
        raise ValueError(f"{what} must be {rule}, not {_shown(value)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}..."
