"""The schemas follow from the classes, and refuse what those do not allow."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from jschon import JSON

from schema_check import validators
from weft import schemas
from weft.results import BESIDE, OMITTED, Count, Rule, named, plain
from weft.schemas import generate

NAMES = generate.documents()


class Colour(enum.Enum):
    WEFT, WARP = "weft", "warp"


@dataclass
class Inner:
    """Inside. deep : how deep."""

    deep: Count | None


@dataclass
class Outer:
    """Outside.

    first, second : a number. name* : what it is called; nothing else.
    """

    first: int
    second: Annotated[float, Rule(maximum=1)]
    name_en: Path
    colour: Colour
    mode: Literal["a", "b"] | None
    only: Literal["x"]
    many: list[Inner]
    table: Mapping[Literal["p", "q"], bool]
    anything: dict[str, Any]
    renamed: str = field(metadata=named("called"))
    beside: Inner = field(metadata=BESIDE)
    left_out: int | None = field(default=None, metadata=OMITTED)


def test_types_become_schemas():
    found = generate.schema(Outer)
    names = "first second name_en colour mode only many table anything called deep".split()
    assert found["required"] == names and found["type"] == "object"
    assert found["properties"] == {
        "first": {"type": "integer", "description": "a number"},
        "second": {"type": "number", "maximum": 1, "description": "a number"},
        "name_en": {"type": "string", "description": "what it is called; nothing else"},
        "colour": {"enum": ["weft", "warp"]},
        "mode": {"enum": ["a", "b", None]},
        "only": {"const": "x"},
        "many": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["deep"],
                "properties": {
                    "deep": {
                        "type": ["integer", "null"],
                        "minimum": 0,
                        "description": "how deep",
                    }
                },
            },
        },
        "table": {
            "type": "object",
            "additionalProperties": {"type": "boolean"},
            "propertyNames": {"enum": ["p", "q"]},
        },
        "anything": {"type": "object"},
        "called": {"type": "string"},
        "deep": {"type": ["integer", "null"], "minimum": 0, "description": "how deep"},
        "left_out": {"type": "integer"},
    }


def test_objects_become_json():
    one = Outer(
        first=1,
        second=0.5,
        name_en=Path("a/b"),
        colour=Colour.WARP,
        mode=None,
        only="x",
        many=[Inner(3)],
        table={"p": True},
        anything={"z": (1, 2)},
        renamed="r",
        beside=Inner(None),
    )
    assert plain(one) == {
        "first": 1,
        "second": 0.5,
        "name_en": "a/b",
        "colour": "warp",
        "mode": None,
        "only": "x",
        "many": [{"deep": 3}],
        "table": {"p": True},
        "anything": {"z": [1, 2]},
        "called": "r",
        "deep": None,
    }
    one.left_out = 7
    assert plain(one)["left_out"] == 7


@pytest.mark.parametrize("hint", [set[int], complex, int | str])
def test_what_json_lacks_is_refused(hint):
    with pytest.raises(TypeError, match="JSON has no type for|only None may stand beside"):
        generate.schema(hint)


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_fresh(name):
    text = (files(schemas) / name).read_text(encoding="utf-8")
    assert text == generate.text(NAMES[name]), "run python -m weft.schemas"
    assert json.loads(text) == NAMES[name]


def test_no_file_is_left_over(tmp_path):
    assert [f"{name.replace('/', '.')}.json" for name in schemas.names()] == sorted(NAMES)
    (tmp_path / "weft.gone.1.json").write_text("{}")
    generate.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


def test_every_schema_names_itself():
    for command in generate.RESULTS:
        name = f"weft.{command}/1"
        assert schemas.load(name)["properties"]["schema"] == {"const": name}


GOOD: dict[str, Any] = {
    "schema": "weft.embed/1",
    "weft": "1.0.0",
    "config_hash": "0123456789abcdef",
    "preset": "tiny",
    "clock_mhz": None,
    "memory_model": None,
    "seed": None,
    "machine": {"cpu": "x", "cores": 1, "system": "Linux", "python": "3.11"},
    "results": [
        {
            "path": "v.npy",
            "texts": 1,
            "dimensions": 384,
            "tokens": 5,
            "backend": "emulator",
            "scheme": "static",
            "gemms": 36,
            "seconds": 0.5,
        }
    ],
}


def valid(data: dict[str, Any]) -> bool:
    return validators()[data["schema"]].evaluate(JSON(data)).valid


@pytest.mark.parametrize(
    "change",
    [
        {"config_hash": None},
        {"config_hash": "0123"},
        {"machine": {}},
        {"seed": -1},
        {"results": [{k: v for k, v in GOOD["results"][0].items() if k != "texts"}]},
        {"results": [GOOD["results"][0] | {"texts": 0}]},
        {"results": [GOOD["results"][0] | {"seconds": "long"}]},
    ],
)
def test_what_no_command_prints_is_refused(change):
    assert valid(GOOD) and not valid(GOOD | change)


def test_references_between_schemas_are_followed():
    layer = {"layer": "l", "k": 1, "n": 1, "where": "host", "reason": "", "scheme": "float32"}
    layer |= {"migration": False, "result": "float32", "output_spread": None, "snr_db": None}
    layer["macs"] = None
    explained = GOOD | {"schema": "weft.explain/1", "results": [layer]}
    assert valid(explained) and not valid(explained | {"results": [layer | {"where": "moon"}]})
    items = schemas.load("weft.evaluate/1")["properties"]["results"]["items"]
    evaluation = dict.fromkeys(items["required"], 0) | {"scheme": "", "backend": ""}
    evaluated = GOOD | {"schema": "weft.evaluate/1", "results": [evaluation | {"layers": [layer]}]}
    assert valid(evaluated)
    evaluation["layers"] = [layer | {"where": "moon"}]
    assert not valid(evaluated | {"results": [evaluation]})


def test_objects_that_are_closed_stay_closed():
    error = {"schema": "weft.error/1", "code": "usage", "message": "m", "remedy": ""}
    assert valid(error) and not valid(error | {"more": 1})
    assert schemas.load("weft.bitstreams/1")["properties"]["results"]["items"][
        "additionalProperties"
    ] is False
