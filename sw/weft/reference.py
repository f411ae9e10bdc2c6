"""Reference pages of the instruction set and of the registers, written from the contract.

Standard library only. ``weft isa`` prints them; ``docs/isa.md`` and ``docs/registers.md`` are kept
equal to them by a test.
"""

from __future__ import annotations

from typing import Any

from weft_hw import registers
from weft_hw.isa import (
    ERROR_TEXT,
    INSTRUCTION_BYTES,
    ISA_VERSION,
    LAYOUTS,
    LOOP_LEVELS,
    OPCODE_UNITS,
    POSTS,
    SEMAPHORE_MAX,
    SEMAPHORES,
    WAITS,
    Field,
    Opcode,
    ResultType,
    Space,
)

__all__ = ["instruction_rows", "isa_page", "register_rows", "registers_page"]

_SEMANTICS = {
    Opcode.END: """\
Finishes the program. It is taken when every queue is empty and every unit idle; then the core sets
`done` and raises the interrupt.""",
    Opcode.LOAD: """\
Copies `rows` rows of `bytes` bytes from the arena into one on-chip memory. Row i comes from arena
byte `dram_offset + i * dram_pitch` and goes to word `chip_address + i * chip_pitch`. The data of
two loads in flight may arrive in any order. Completes when all data is written on chip.""",
    Opcode.STORE: """\
Copies rows from the scratchpad to the arena, addressed as in LOAD. Completes with the last write
response.""",
    Opcode.SETUP: """\
Sets how the MATMULs that follow turn accumulators into results. It starts when the compute
pipeline is empty. Before the first SETUP every field is zero.

An int8 or int16 result is, with one rounding,

    a = saturate25(v >> pre)
    y = min(max(zero_point + ((a * multiplier + 2**(shift - 1)) >> shift), low), high)

with the multiplier and shift of the channel; shifts are arithmetic. With `table_enable` an int8
result is then replaced by the entry of `table` at its unsigned byte. An int32 result is v.""",
    Opcode.MATMUL: """\
Runs a nest of loops. Level 0 is innermost, level i makes `count_i` iterations, and each iteration
streams one row of activations past the weights. An address starts at its field; when level i
steps, and the levels below it start again, `jump_i` is added to it. With strides s_i that is

    jump_i = s_i - sum over j < i of (count_j - 1) * s_j

*Tile.* All iterations of the levels below `tile_levels` share one weight tile: R/L consecutive
words of the weight buffer at `weight_address`. Weight and parameter addresses change only at levels
from `tile_levels` on; their jumps below it count as zero.

*Iteration.* With activation line `a` (R int8), weights `W` and per-channel bias,

    v[c] = start[c] + sum over r of a[r] * W[r][c]      modulo 2**32

`start` is the bias where `first` is set and every reduction level is at its start, else the
accumulator row at `acc_address`. Where `last` is set and every reduction level is at its end, the
C results of v are written at `result_address` and the accumulators stay as they are; else v is
written to the accumulator row.

Completes when all results are written and all operands read.""",
}


def _bits(f: Field) -> str:
    return str(f.offset) if f.width == 1 else f"{f.offset + f.width - 1}..{f.offset}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _fields(fields: list[Field]) -> list[str]:
    return _table(
        ("bits", "field", "range", "meaning"),
        [
            (_bits(f), f"`{f.name}`", f"{f.low}..{f.high}", f.doc.replace("|", "\\|"))
            for f in fields
        ],
    )


def instruction_rows() -> list[dict[str, Any]]:
    """One dict per opcode: number, unit, and its fields at their bits."""
    return [
        {
            "opcode": opcode.name,
            "number": int(opcode),
            "unit": OPCODE_UNITS[opcode].name.lower(),
            "fields": [
                {
                    "name": f.name,
                    "offset": f.offset,
                    "width": f.width,
                    "signed": f.signed,
                    "doc": f.doc,
                }
                for f in layout
            ],
        }
        for opcode, layout in LAYOUTS.items()
    ]


def isa_page() -> str:
    """The instruction set reference, Markdown."""
    header = list(LAYOUTS[Opcode.END])
    names = {f.name for f in header}
    lines = [
        "# Instruction set",
        "",
        f"Version {ISA_VERSION >> 8}.{ISA_VERSION & 0xFF}. Written from `weft_hw.isa` by "
        "`weft isa`; do not edit.",
        "",
        f"An instruction has {INSTRUCTION_BYTES} bytes, little endian; bit 0 is the lowest bit of "
        "the first byte. Bits that no field names must be zero. A program is a sequence of "
        "instructions in the arena that finishes with END.",
        "",
        "Load, compute and store units each have a queue, work in order and run beside each other. "
        f"{SEMAPHORES} counting semaphores, zero at the start and at most {SEMAPHORE_MAX}, order "
        f"them: an instruction starts when all of its up to {WAITS} semaphores are above zero and "
        f"takes one from each, and raises up to {POSTS} when it completes.",
        "",
        "Letters: R array rows, C columns, L weight rows per cycle; K reduction, M rows, N columns "
        f"of a product. Nests have {LOOP_LEVELS} levels. On-chip addresses count 4-byte words.",
        "",
        "## Header",
        "",
        "Every instruction starts with the header.",
        "",
        *_fields(header),
    ]
    for opcode, layout in LAYOUTS.items():
        own = [f for f in layout if f.name not in names]
        unit = OPCODE_UNITS[opcode].name.lower()
        lines += ["", f"## {opcode.name}", "", f"Opcode {int(opcode)}, {unit} unit.", ""]
        lines += _SEMANTICS[opcode].splitlines()
        if own:
            lines += ["", *_fields(own)]
    lines += ["", "## Memories and result types", ""]
    lines += _table(("space", "memory"), [(str(int(s)), s.name.lower()) for s in Space])
    lines.append("")
    lines += _table(
        ("result_type", "element", "bytes"),
        [(str(int(r)), r.name.lower(), str(r.bytes)) for r in ResultType],
    )
    lines += [
        "",
        "A weight tile is R/L words of L * C bytes: word j, byte g * C + c is W[g * R/L + j][c]. A "
        "parameter entry has 8 bytes: bias in bits 31..0, multiplier in 48..32, shift in 54..49; "
        "`parameter_address` counts pairs. Table t starts at word 64 * t of the tables.",
        "",
        "## Errors",
        "",
        "The core stops, holds the code and the index of the failing instruction, raises the "
        "interrupt, and runs again after a soft reset.",
        "",
    ]
    lines += _table(
        ("code", "name", "meaning"),
        [(str(int(code)), code.name, text) for code, text in ERROR_TEXT.items()],
    )
    return "\n".join(lines) + "\n"


def register_rows() -> list[dict[str, Any]]:
    """One dict per register, in order of offset."""
    return [
        {
            "name": r.name,
            "offset": r.offset,
            "access": r.access.value,
            "width": r.width,
            "doc": r.doc,
        }
        for r in sorted(registers.REGISTERS.values(), key=lambda r: r.offset)
    ]


def registers_page() -> str:
    """The register reference, Markdown."""
    lines = [
        "# Registers",
        "",
        "Written from `weft_hw.registers` by `weft isa --registers`; do not edit.",
        "",
        f"AXI4-Lite, 32-bit words in a window of {registers.REGISTER_BYTES} bytes. Access: ro read "
        "only, rw read and write, wo reads as zero, w1c writing a one clears. Counters are cleared "
        "by a start and count while the core runs.",
        "",
        *_table(
            ("offset", "register", "access", "bits", "meaning"),
            [
                (
                    f"{r['offset']:#05x}",
                    f"`{r['name']}`",
                    r["access"],
                    str(r["width"]),
                    r["doc"].replace("|", "\\|"),
                )
                for r in register_rows()
            ],
        ),
    ]
    return "\n".join(lines) + "\n"
