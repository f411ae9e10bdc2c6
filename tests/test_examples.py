"""The examples run."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_gemm(capsys):
    pytest.importorskip("torch")
    runpy.run_path(str(EXAMPLES / "gemm.py"))["main"]()
    assert "100 elements equal to torch-int" in capsys.readouterr().out


def test_chain(capsys):
    pytest.importorskip("torch")
    runpy.run_path(str(EXAMPLES / "chain.py"))["main"]()
    assert "4 layers" in (out := capsys.readouterr().out)
    assert "three runs equal to torch-int" in out


def test_digits(capsys, tmp_path, monkeypatch):
    """As many right answers on held-out images as in float, within half a point."""
    pytest.importorskip("sklearn")
    monkeypatch.setattr("sys.argv", ["digits.py", str(tmp_path / "digits.weft")])
    main = runpy.run_path(str(EXAMPLES / "digits.py"))["main"]
    main()
    out = capsys.readouterr().out
    assert "899 held-out images" in out and (tmp_path / "digits.weft").exists()


def test_photographs(capsys, tmp_path, monkeypatch):
    """Stamps are put on white, wallpapers made smaller; drawings and mirrors are not taken."""
    image = pytest.importorskip("PIL.Image")
    np = pytest.importorskip("numpy")
    stamps = tmp_path / "unpacked/usr/share/tuxpaint/stamps"
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 4), np.uint8)
    noise[:, :, 3], noise[:9, :9, 3] = 255, 0
    flat = np.zeros_like(noise)
    for name, pixels in {
        "animals/birds/owl.png": noise, "animals/birds/owl_mirror.png": noise,
        "animals/cartoon/cat.png": noise, "space/moon.png": noise, "food/egg.png": flat,
        "food/small.png": noise[:100],
    }.items():  # fmt: skip
        (stamps / name).parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(stamps / name)
    scenes = tmp_path / "unpacked/usr/share/backgrounds/mate"
    scenes.mkdir(parents=True)
    for name in ("Dune.jpg", "GreenTraditional.jpg"):
        image.new("RGB", (1280, 800)).save(scenes / name)
    monkeypatch.setattr("sys.argv", ["x", str(tmp_path / "unpacked"), str(tmp_path / "set")])
    runpy.run_path(str(EXAMPLES / "photographs.py"))["main"]()
    assert "2 photographs in " in capsys.readouterr().out
    with image.open(tmp_path / "set/animals/birds_owl.png") as owl:
        assert owl.mode == "RGB" and owl.getpixel((3, 3)) == (255, 255, 255)
    with image.open(tmp_path / "set/scenes/Dune.png") as scene:
        assert scene.size == (640, 400)
