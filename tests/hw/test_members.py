"""The section Members of every block against its signature: names and directions."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest
from amaranth.lib import wiring

import weft_hw
from weft_hw import target
from weft_hw.compute.array import psum_bits
from weft_hw.config import PRESETS
from weft_hw.isa import Opcode
from weft_hw.shell.zynq7 import Zynq7Shell

CONFIG = PRESETS["pynq-z2"]
PACKING = target.TARGETS["xc7"]
#: What constructors take beside configurations and values with a default.
ARGUMENTS = {
    "config": CONFIG,
    "packing": PACKING,
    "psum_bits": psum_bits(CONFIG),
    "region": 4,
    "head": True,
    "width": 20,
    "jump_width": 13,
    "levels": (0, 1),
    "depth": 4,
    "n": 3,
    "shape": 8,
    "opcode": Opcode.LOAD,
    "port": 1,
    "base": 0x43C0_0000,
}


def blocks() -> list[type[wiring.Component]]:
    """Every component of the gateware."""
    found = []
    for info in pkgutil.walk_packages(weft_hw.__path__, "weft_hw."):
        module = importlib.import_module(info.name)
        found += [
            c
            for c in vars(module).values()
            if inspect.isclass(c)
            and issubclass(c, wiring.Component)
            and c.__module__ == info.name
            and c is not Zynq7Shell  # a whole chip: without members
        ]
    return found


def made(block: type[wiring.Component]) -> wiring.Component:
    """An instance."""
    needed = inspect.signature(block.__init__).parameters.values()
    return block(
        **{p.name: ARGUMENTS[p.name] for p in needed if p.default is p.empty and p.name != "self"}
    )


def documented(doc: str) -> dict[str, str]:
    """Direction of each name in the section Members; NAME stands for any name, {p} for a number."""
    _, _, rest = doc.partition("\nMembers\n-------\n")
    section = re.split(r"\n\n.+\n-{3,}\n", rest)[0]
    names: dict[str, str] = {}
    for line in section.splitlines():
        if line and not line.startswith(" "):
            entries = re.findall(r"(?:^|, )([\w{}]+(?:, [\w{}]+)*) : `*(In or Out|In|Out)\b", line)
            assert entries, f"{line!r} has no direction"
            for several, direction in entries:
                for name in several.split(", "):
                    assert name not in names, f"{name} stands twice"
                    names[name] = direction
    return names


def matches(name: str, member: str) -> bool:
    """Whether a documented name means this member."""
    pattern = name.replace("{p}", r"\d+").replace("NAME", r"\w+")
    return re.fullmatch(pattern, member) is not None


def check(doc: str, signature: wiring.Signature) -> None:
    """Each member is documented once, with its direction, and nothing else is."""
    names = documented(doc)
    for member in signature.members:
        found = [n for n in names if matches(n, member)]
        assert found, f"{member} is not documented"
        # What is spelled out goes before a pattern.
        direction = names[member if member in names else max(found, key=len)]
        flow = signature.members[member].flow.name
        assert direction in (flow, "In or Out"), f"{member} is {flow}"
    for name in names:
        assert any(matches(name, member) for member in signature.members), f"{name} is no member"


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.__name__)
def test_members(block):
    check(inspect.getdoc(block) or "", made(block).signature)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("a : In(1)", "b is not documented"),
        ("a : Out(1)\nb : Out(1)", "a is In"),
        ("a, b : In(1)", "b is Out"),
        ("a : In(1)\nb : Out(1)\nc : In(1)", "c is no member"),
        ("a : In(1)\nb, a : Out(1)", "a stands twice"),
        ("a : something", "has no direction"),
    ],
)
def test_wrong_sections_are_found(section, message):
    signature = wiring.Signature({"a": wiring.In(1), "b": wiring.Out(1)})
    good = "a : In(1), b : ``Out(1)``\n    Text.\n\nLatency\n-------\n1 cycle."
    check(f"A block.\n\nMembers\n-------\n{good}\n", signature)
    with pytest.raises(AssertionError, match=message):
        check(f"A block.\n\nMembers\n-------\n{section}\n", signature)
