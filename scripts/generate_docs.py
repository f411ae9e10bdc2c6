"""Write docs/isa.md and docs/registers.md from the contract."""

from pathlib import Path

from weft import reference

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> None:
    """Write both pages."""
    DOCS.mkdir(exist_ok=True)
    (DOCS / "isa.md").write_text(reference.isa_page(), encoding="utf-8")
    (DOCS / "registers.md").write_text(reference.registers_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
