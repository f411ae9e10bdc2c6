"""Write the schemas: each follows from the class of a command's results.

A class gives the fields, their types (:mod:`weft.results`), and, where its docstring has entries
``name : text.``, their descriptions.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import json
import re
import types
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from weft.bundle.build import Bundle
from weft.bundle.manifest import Manifest
from weft.cli import (
    asm,
    board,
    cache,
    compile,
    doctor,
    embed,
    isa,
    models,
    output,
    presets,
    run,
    verilog,
)
from weft.compiler.quantise.choose import Choice
from weft.deploy.remote import Delivery
from weft.deploy.selftest import BoardReport
from weft.measure.accuracy import NetworkEvaluation
from weft.measure.bench import GemmResult
from weft.measure.compare import BackendResult
from weft.measure.evaluate import Evaluation
from weft.measure.model import LayerResult
from weft.measure.overhead import Overhead
from weft.runtime.reports import OperatorReport
from weft.synth.blocks import Block
from weft_hw.config import AcceleratorConfig
from weft_hw.registers import Register

__all__ = ["RESULTS", "documents", "text", "write"]

#: Command -> the classes whose fields a result has, then the fields of the envelope that the
#: command always fills.
RESULTS: dict[str, tuple[type | str, ...]] = {
    "asm": (asm.Assembled,),
    "bench-gemm": (GemmResult, "config_hash", "memory_model", "clock_mhz", "seed"),
    "bench-model": (LayerResult, "config_hash", "memory_model", "clock_mhz", "seed"),
    "bitstreams": (Manifest,),
    "board-list": (board.BoardEntry,),
    "board-overhead": (Overhead, "config_hash"),
    "board-selftest": (BoardReport, "config_hash"),
    "build": (Bundle, "config_hash"),
    "compare": (BackendResult, "config_hash", "memory_model", "clock_mhz"),
    "cache-clear": (cache.CacheEntry,),
    "cache-ls": (cache.CacheEntry,),
    "compile": (compile.Compiled, "config_hash"),
    "deploy": (BoardReport, Delivery, "config_hash"),
    "disasm": (asm.Disassembled,),
    "doctor": (doctor.Tool,),
    "embed": (embed.Embedded, "config_hash"),
    "evaluate": (Evaluation, "config_hash"),
    "evaluate-network": (NetworkEvaluation, "config_hash"),
    "explain": (Choice, "config_hash"),
    "explain-network": (OperatorReport, "config_hash"),
    "isa": (isa.OpcodeEntry,),
    "models": (models.ModelEntry,),
    "presets": (presets.Preset,),
    "registers": (Register,),
    "run": (run.Run,),
    "search": (embed.Found, "config_hash"),
    "synth": (Block, "config_hash"),
    "verilog": (verilog.File, "config_hash"),
}
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ID = "https://weft.invalid/schemas/"
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}
#: Objects that have all their fields and no others.
_CLOSED = (Manifest, output.ErrorObject)


def documents() -> dict[str, dict[str, Any]]:
    """All schemas by file name."""
    found = {
        _file("envelope"): _head("envelope", output.Envelope) | _object(output.Envelope),
        _file("error"): _head("error", output.ErrorObject) | _object(output.ErrorObject),
    }
    envelope = _object(output.Envelope)["properties"]
    for command, (first, *others) in RESULTS.items():
        assert isinstance(first, type)
        more = [kind for kind in others if isinstance(kind, type)]
        properties = {
            "schema": {"const": f"weft.{command}/1"},
            **{n: {"type": _filled(envelope[n])["type"]} for n in others if isinstance(n, str)},
            "results": {"type": "array", "items": _object(first, *more)},
        }
        found[_file(command)] = {
            **_head(command, first),
            "allOf": [{"$ref": f"{_ID}envelope"}],
            "properties": properties,
        }
    return found


def write(folder: Path) -> None:
    """Write all schemas to `folder`, and remove those of commands that are gone."""
    made = documents()
    for path in folder.glob("weft.*.json"):
        if path.name not in made:
            path.unlink()
    for name, document in made.items():
        (folder / name).write_text(text(document), encoding="utf-8")


#: Columns of a line of the files.
_WIDTH = 100


def text(document: dict[str, Any]) -> str:
    """Content of a file."""
    return _json(document) + "\n"


def _json(value: Any, indent: int = 0, column: int = 0, fields: bool = False) -> str:
    """`value` as JSON in 100 columns, from `column` on; `fields` has each entry on its own line."""
    flat = json.dumps(value)
    if not isinstance(value, (dict, list)) or column + len(flat) < _WIDTH:
        return flat
    if isinstance(value, dict):
        entries = [
            f"{json.dumps(k)}: {_json(v, indent + 1, indent + len(k) + 5, k == 'properties')}"
            for k, v in value.items()
        ]
    else:
        entries = [json.dumps(one) for one in value]
    rows: list[str] = []
    for entry in entries:
        joined = f"{rows[-1]}, {entry}" if rows else ""
        if rows and not fields and "\n" not in joined and indent + len(joined) < _WIDTH - 1:
            rows[-1] = joined
        else:
            rows.append(entry)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner = "\n" + " " * (indent + 1)
    return f"{opening}{inner}{f',{inner}'.join(rows)}\n{' ' * indent}{closing}"


def _file(command: str) -> str:
    return f"weft.{command}.1.json"


def _head(command: str, kind: type) -> dict[str, str]:
    first = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split())
    title = first.split(". ")[0].rstrip(".")
    if command in RESULTS:
        title = f"weft {command.replace('-', ' ')}: {title[0].lower()}{title[1:]}"
    return {"$schema": _DRAFT, "$id": _ID + command, "title": title}


def _object(*kinds: type) -> dict[str, Any]:
    """Schema of an object with the fields of dataclasses."""
    required: list[str] = []
    properties: dict[str, Any] = {}
    for kind in kinds:
        hints = get_type_hints(kind, include_extras=True)
        said = _descriptions(kind)
        for field in dataclasses.fields(kind):
            if "beside" in field.metadata:
                found = _object(hints[field.name])
                properties |= found["properties"]
                required += found["required"]
                continue
            found = schema(hints[field.name])
            name = field.metadata.get("name", field.name)
            if "omitted" in field.metadata:
                found = _filled(found)
            else:
                required.append(name)
            described = [text for pattern, text in said if fnmatchcase(field.name, pattern)]
            properties[name] = found | ({"description": described[0]} if described else {})
    whole = {"type": "object", "required": required, "properties": properties}
    return whole | ({"additionalProperties": False} if kinds[0] in _CLOSED else {})


def schema(hint: Any) -> dict[str, Any]:
    """Schema of a type.

    Raises
    ------
    TypeError
        JSON has no such type.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        keywords = {k: v for rule in arguments[1:] for k, v in rule.keywords.items()}
        base = schema(arguments[0])
        return keywords if "enum" in keywords else base | keywords
    if origin in (Union, types.UnionType):
        first, none = arguments
        if none is not type(None):
            raise TypeError(f"only None may stand beside another type, not {hint}")
        found = schema(first)
        if "enum" in found:
            return found | {"enum": [*found["enum"], None]}
        return found | {"type": [found["type"], "null"]}
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if hint is Any:
        return {}
    if hint is AcceleratorConfig:
        return {"type": "object", "description": "parameters of weft_hw.config.AcceleratorConfig"}
    if origin in (list, tuple, collections.abc.Sequence):
        items = schema(arguments[0])
        return {"type": "array"} | ({"items": items} if items else {})
    if origin in (dict, collections.abc.Mapping):
        key, value = (schema(one) for one in arguments)
        found = {"type": "object"} | ({"additionalProperties": value} if value else {})
        return found | ({"propertyNames": key} if key != {"type": "string"} else {})
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return {"enum": [one.value for one in hint]}
        if issubclass(hint, PurePath):
            return {"type": "string"}
        for command, kinds in RESULTS.items():  # a result elsewhere: described there
            if kinds[0] is hint:
                return {"$ref": f"{_ID}{command}#/properties/results/items"}
        if dataclasses.is_dataclass(hint):
            return _object(hint)
    raise TypeError(f"JSON has no type for {hint}")


def _filled(found: dict[str, Any]) -> dict[str, Any]:
    """`found` without null."""
    kind = found.get("type")
    return found | {"type": kind[0]} if isinstance(kind, list) else found


def _descriptions(kind: type) -> list[tuple[str, str]]:
    """(field or pattern of fields, text) of the entries ``name, name : text.`` of a docstring."""
    doc = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
    parts = re.split(r"(?:(?<= )|^)((?:\w+\*?)(?:, \w+\*?)*) : ", doc)
    entries = zip(parts[1::2], parts[2::2])
    return [(name, text.strip(" .;")) for names, text in entries for name in names.split(", ")]
