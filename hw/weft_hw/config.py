"""What a Weft accelerator is made of: every choice, its rules, presets and a stable hash.

Standard library only. Gateware, emulator, compiler, driver and documents read this one definition.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

__all__ = [
    "BURST_BEATS",
    "GRANULE_BYTES",
    "PARAMETER_BYTES",
    "PRESETS",
    "AcceleratorConfig",
    "ConfigError",
    "preset",
]

#: Beats of the longest burst. 16 is the AXI3 limit (IHI 0022E, A3.4.1); aligned 16-beat bursts of
#: up to 128-bit beats never cross a 4 KiB page.
BURST_BEATS = 16
#: DRAM rows start, and end, on multiples of this many bytes on every preset.
GRANULE_BYTES = 16
#: Bytes of one parameter entry: bias, multiplier, shift of a channel.
PARAMETER_BYTES = 8
#: Cycles between an accumulator read and the first read that sees its sum: two for the block RAM
#: with its output register, one for the adder, one for the write.
ACCUMULATOR_LATENCY = 4

#: Parameters that say what a configuration is for, and change nothing of the RTL.
_PLANS = ("name", "board", "clock_mhz")


class ConfigError(ValueError):
    """A parameter, or a combination of parameters, that Weft cannot build."""


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """Chosen parameters of one accelerator. Everything else is derived from them.

    Raises
    ------
    ConfigError
        A value breaks a rule; the sentence names the rule and the values.
    """

    #: Name for people; not part of the hash.
    name: str
    #: Board that it is planned for (``boards``); "" is one that fits. Not part of the hash.
    board: str = ""
    #: Clock that the preset is planned for, MHz; not part of the hash (the same RTL runs at any).
    clock_mhz: int = 100
    #: Array rows: the reduction dimension K. Written R.
    rows: int = 16
    #: Array columns: output channels, N. Written C; R or 2R.
    cols: int = 16
    #: Weight rows that enter the array per cycle. Written L; a tile takes max(M, R/L) cycles.
    weight_rows_per_cycle: int = 1
    #: Rows of C int32 accumulators.
    accumulator_rows: int = 1024
    #: Independent 1R+1W banks, contiguous in address.
    scratchpad_banks: int = 6
    #: Bytes in one bank.
    scratchpad_bank_bytes: int = 32 * 1024
    #: Bytes of the weight buffer.
    weight_buffer_bytes: int = 64 * 1024
    #: Per-channel parameter entries (bias, multiplier, shift), 8 bytes each.
    parameter_entries: int = 2048
    #: int8 -> int8 tables of 256 entries.
    tables: int = 8
    #: Words of R weights for each tap of the depthwise engine; 0 leaves the engine out.
    tap_words: int = 512
    #: AXI data ports; each reads and writes.
    axi_ports: int = 2
    #: Width of one data port.
    axi_data_bits: int = 64
    #: "axi3" (native Zynq-7000 HP port: WID, 4-bit length) or "axi4".
    axi_protocol: str = "axi4"
    #: Physical address width.
    axi_address_bits: int = 32
    #: Read bursts in flight per port.
    read_outstanding: int = 8
    #: Write bursts in flight per port.
    write_outstanding: int = 8
    #: Instructions that wait in front of the load unit.
    load_queue: int = 4
    #: Instructions that wait in front of the compute unit.
    compute_queue: int = 4
    #: Instructions that wait in front of the store unit.
    store_queue: int = 4
    #: Instructions that wait in front of the depthwise unit.
    depthwise_queue: int = 4

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            want = int if field.type == "int" else str
            if type(value) is not want:
                raise ConfigError(f"{field.name} must be {want.__name__}, not {value!r}")
        self._check()

    def _check(self) -> None:
        def rule(ok: bool, sentence: str) -> None:
            if not ok:
                raise ConfigError(sentence)

        def power(name: str, low: int, high: int) -> None:
            v = getattr(self, name)
            rule(
                low <= v <= high and v & (v - 1) == 0,
                f"{name} must be a power of two in {low}..{high}, not {v}",
            )

        power("rows", 8, 64)
        rule(
            self.cols in (self.rows, 2 * self.rows),
            f"cols must be rows or 2 * rows ({self.rows} or {2 * self.rows}), not {self.cols}",
        )
        rule(
            self.weight_rows_per_cycle in (1, 2, 4),
            f"weight_rows_per_cycle must be 1, 2 or 4, not {self.weight_rows_per_cycle}",
        )
        rule(
            self.tile_words >= ACCUMULATOR_LATENCY,
            f"rows / weight_rows_per_cycle must be at least {ACCUMULATOR_LATENCY} (an accumulator "
            f"row may not be in flight twice), not {self.rows} / {self.weight_rows_per_cycle}",
        )
        power("accumulator_rows", 64, 4096)
        rule(
            4 <= self.scratchpad_banks <= 16,
            f"scratchpad_banks must be in 4..16, not {self.scratchpad_banks}",
        )
        power("scratchpad_bank_bytes", 1024, 1 << 18)
        power("weight_buffer_bytes", 1024, 1 << 20)
        power("parameter_entries", 64, 8192)
        power("tables", 1, 16)
        if self.tap_words:
            power("tap_words", 64, 4096)
        rule(self.axi_ports in (1, 2, 4), f"axi_ports must be 1, 2 or 4, not {self.axi_ports}")
        rule(
            self.axi_data_bits in (64, 128),
            f"axi_data_bits must be 64 or 128, not {self.axi_data_bits}",
        )
        rule(
            self.axi_protocol in ("axi3", "axi4"),
            f"axi_protocol must be 'axi3' or 'axi4', not {self.axi_protocol!r}",
        )
        rule(
            32 <= self.axi_address_bits <= 49,
            f"axi_address_bits must be in 32..49, not {self.axi_address_bits}",
        )
        rule(
            self.dma_bytes in (self.rows, 2 * self.rows),
            f"axi_ports * axi_data_bits / 8 must be rows or 2 * rows ({self.rows} or "
            f"{2 * self.rows}), not {self.axi_ports} * {self.axi_data_bits} / 8 = {self.dma_bytes}",
        )
        rule(
            self.weight_word_bytes % self.dma_bytes == 0,
            "weight_rows_per_cycle * cols must be a multiple of the bytes moved per cycle "
            f"({self.dma_bytes}), not {self.weight_rows_per_cycle} * {self.cols}",
        )
        for name in ("read_outstanding", "write_outstanding"):
            power(name, 2, 64)
        for field in dataclasses.fields(self):
            if field.name.endswith("_queue"):
                power(field.name, 2, 16)

    # -- derived ----------------------------------------------------------------------------------

    @property
    def tile_words(self) -> int:
        """Cycles, and weight buffer words, of one weight tile: R / L. Written h."""
        return self.rows // self.weight_rows_per_cycle

    @property
    def tile_bytes(self) -> int:
        """Bytes of one R x C weight tile."""
        return self.rows * self.cols

    @property
    def weight_word_bytes(self) -> int:
        """Bytes of one weight buffer word: L rows of C weights."""
        return self.weight_rows_per_cycle * self.cols

    @property
    def weight_words(self) -> int:
        """Words of the weight buffer."""
        return self.weight_buffer_bytes // self.weight_word_bytes

    @property
    def scratchpad_bytes(self) -> int:
        """Bytes of the whole scratchpad."""
        return self.scratchpad_banks * self.scratchpad_bank_bytes

    @property
    def scratchpad_words(self) -> int:
        """4-byte words of the whole scratchpad: the unit of activation addresses."""
        return self.scratchpad_bytes // 4

    @property
    def line_bytes(self) -> int:
        """Bytes of one scratchpad line, the unit that the array reads: R."""
        return self.rows

    @property
    def beat_bytes(self) -> int:
        """Bytes of one AXI data beat."""
        return self.axi_data_bits // 8

    @property
    def dma_bytes(self) -> int:
        """Bytes that all ports move per cycle, each way. Written D; R or 2R."""
        return self.axi_ports * self.beat_bytes

    @property
    def stripe_bytes(self) -> int:
        """Bytes of one full burst; consecutive stripes of DRAM go to consecutive ports."""
        return BURST_BEATS * self.beat_bytes

    @property
    def parameter_bytes(self) -> int:
        """Bytes of the parameter memory."""
        return self.parameter_entries * PARAMETER_BYTES

    @property
    def macs_per_cycle(self) -> int:
        """R * C."""
        return self.rows * self.cols

    def row_cycles(self, result_bytes: int, residual: bool = False) -> int:
        """Cycles between result rows of `result_bytes` (1, 2 or 4) bytes per element.

        The result writer stores two lines per cycle; a lane delivers 16 bits per cycle. A residual
        is read from the scratchpad in the array's place, a line per cycle.
        """
        least = 1 + self.cols // self.rows if residual else 1
        return max(least, result_bytes * self.cols // (2 * self.rows), result_bytes // 2)

    # -- identity ---------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, int | str]:
        """All chosen parameters, in order of definition."""
        return dataclasses.asdict(self)

    @property
    def hash_words(self) -> tuple[int, int]:
        """(low, high) 31-bit words of the config hash, as the registers hold them.

        31 bits each, because older PYNQ remote clients read registers as signed words.
        """
        chosen = {k: v for k, v in self.as_dict().items() if k not in _PLANS}
        digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).digest()
        low, high = (int.from_bytes(digest[i : i + 4], "little") & 0x7FFF_FFFF for i in (0, 4))
        return low, high

    @property
    def hash(self) -> str:
        """Config hash: 16 hex digits, equal exactly when the generated RTL is equal."""
        low, high = self.hash_words
        return f"{high:08x}{low:08x}"

    def replace(self, **changes: int | str) -> AcceleratorConfig:
        """Copy with `changes`.

        Raises
        ------
        ConfigError
            An unknown name, or a rule broken.
        """
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                names = ", ".join(known)
                raise ConfigError(f"unknown parameter {name!r}; the parameters are {names}")
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


_Z2 = AcceleratorConfig(name="pynq-z2", board="pynq-z2", axi_protocol="axi3")
_KV260 = _Z2.replace(
    name="kv260",
    board="kv260",
    clock_mhz=200,
    rows=32,
    cols=32,
    weight_rows_per_cycle=2,
    accumulator_rows=2048,
    scratchpad_banks=8,
    scratchpad_bank_bytes=64 * 1024,
    weight_buffer_bytes=128 * 1024,
    parameter_entries=4096,
    # As few as LUT memory takes well: block RAM would be mostly empty, and there is none left.
    tap_words=256,
    axi_ports=4,
    axi_data_bits=128,
    axi_protocol="axi4",
    axi_address_bits=40,
    read_outstanding=16,
    write_outstanding=16,
)
# The small ones, for tests, stay on the board of the PYNQ-Z2, and so on its DRAM.
_TINY = _Z2.replace(
    name="tiny",
    rows=8,
    cols=8,
    accumulator_rows=64,
    scratchpad_banks=4,
    scratchpad_bank_bytes=2048,
    weight_buffer_bytes=2048,
    parameter_entries=128,
    tables=2,
    tap_words=64,
    axi_ports=1,
    axi_protocol="axi4",
    read_outstanding=4,
    write_outstanding=2,
    load_queue=2,
    compute_queue=2,
    store_queue=2,
    depthwise_queue=2,
)

#: Named configurations, each a difference from a base.
PRESETS: dict[str, AcceleratorConfig] = {
    c.name: c
    for c in (
        _Z2,
        _KV260,
        _KV260.replace(name="zcu104", board="zcu104"),
        _TINY,
        _TINY.replace(
            name="tiny-wide",
            cols=16,
            weight_rows_per_cycle=2,
            weight_buffer_bytes=4096,
            axi_ports=2,
            axi_protocol="axi3",
        ),
        # Without the depthwise engine: every layer on the array.
        _Z2.replace(name="pynq-z2-array", tap_words=0),
    )
}


def preset(name: str) -> AcceleratorConfig:
    """Preset by name.

    Raises
    ------
    ConfigError
        There is none; the sentence lists those that exist.
    """
    try:
        return PRESETS[name]
    except KeyError:
        names = ", ".join(PRESETS)
        raise ConfigError(f"unknown preset {name!r}; the presets are {names}") from None
