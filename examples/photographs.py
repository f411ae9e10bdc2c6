"""A folder of photographs for ``weft evaluate``, from what Debian distributes.

    apt-get download tuxpaint-stamps-default mate-backgrounds ukui-wallpapers \\
        lomiri-wallpapers-16.04 lomiri-wallpapers-20.04
    for package in *.deb; do dpkg -x "$package" unpacked; done
    python examples/photographs.py unpacked photographs
    WEFT_IMAGENET=photographs weft evaluate efficientnet-lite0 --backend torch-int \\
        --data weft.models.imagenet:folder

Stamps of things and animals are put on white; drawings are left out. Every file has a free licence,
which usr/share/doc names. The folders are no classes of ImageNet: what counts is whether the
accelerator answers as float does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

STAMPS = "usr/share/tuxpaint/stamps"
THINGS = ("animals", "clothes", "food", "hobbies", "household", "plants", "sports", "vehicles")
#: A photograph has so many colours, and pixels on its short side.
COLOURS, PIXELS = 4000, 120
#: Drawings and patterns among the wallpapers, and a picture in three sizes.
NO_PHOTOGRAPHS = (
    "Blinds", "Elephants_", "GreenTraditional", "Infinite-Sea", "Painting", "analogpattern"
)  # fmt: skip


def stamps(root: Path, target: Path) -> int:
    """Copy the stamps that are photographs; how many there are."""
    count = 0
    for path in sorted((root / STAMPS).rglob("*.png")):
        kind, *rest = path.relative_to(root / STAMPS).parts
        if kind not in THINGS or "cartoon" in rest or path.stem.endswith(("_mirror", "_flip")):
            continue
        with Image.open(path) as file:
            picture = file.convert("RGBA")
        if min(picture.size) < PIXELS or len(picture.getcolors(1 << 24)) < COLOURS:
            continue
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        white.alpha_composite(picture)
        (target / kind).mkdir(parents=True, exist_ok=True)
        white.convert("RGB").save(target / kind / "_".join(rest))
        count += 1
    return count


def wallpapers(root: Path, target: Path) -> int:
    """Copy the wallpapers that are photographs, smaller; how many there are."""
    (target / "scenes").mkdir(parents=True, exist_ok=True)
    count = 0
    for path in sorted((root / "usr/share/backgrounds").rglob("*.jpg")):
        if path.is_symlink() or any(word in path.name for word in NO_PHOTOGRAPHS):
            continue
        with Image.open(path) as file:
            picture = file.convert("RGB")
        picture.thumbnail((640, 640))
        picture.save(target / "scenes" / f"{path.stem}.png")
        count += 1
    return count


def main() -> None:
    """Make the folder."""
    if len(sys.argv) != 3 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: photographs.py UNPACKED_PACKAGES NEW_FOLDER")
    root, target = Path(sys.argv[1]), Path(sys.argv[2])
    print(f"{stamps(root, target) + wallpapers(root, target)} photographs in {target}")


if __name__ == "__main__":
    main()
