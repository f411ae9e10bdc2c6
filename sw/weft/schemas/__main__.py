"""``python -m weft.schemas`` writes the schemas of this folder again."""

from pathlib import Path

from .generate import write

write(Path(__file__).parent)
