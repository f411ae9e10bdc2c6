"""Train a small separable CNN on scikit-learn's digits, compile it, and count right answers.

Half of the 1,797 images are held out. Takes less than a minute; writes digits.weft.

    python examples/digits.py [digits.weft]
"""

from __future__ import annotations

import sys

import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

import weft
from weft.models.cnn.tiny import Digits

SEED, EPOCHS, BATCH = 0, 30, 64


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(images to train on, labels, held-out images, labels); images are [N, 1, 8, 8] in 0..1."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    half = len(images) // 2
    train, held = order[:half], order[half:]
    return images[train], labels[train], images[held], labels[held]


def trained(images: torch.Tensor, labels: torch.Tensor) -> Digits:
    """The network, in eval mode."""
    torch.manual_seed(SEED)
    model = Digits()
    steps = EPOCHS * -(-len(images) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def share(answers: torch.Tensor, labels: torch.Tensor) -> float:
    """Of the answers that are right."""
    return float((answers.argmax(1) == labels).float().mean())


def main() -> None:
    """Train, compile, save, compare."""
    path = sys.argv[1] if len(sys.argv) > 1 else "digits.weft"
    images, labels, held, answers = data()
    model = trained(images, labels)
    compiled = weft.compile(model, images, calibration=[images[:256]])
    compiled.save(path)
    with torch.no_grad():
        real = share(model(held), answers)
    got = share(weft.load(path)(held), answers)
    cycles = compiled.program.metadata["predicted_cycles"]
    print(f"{len(held)} held-out images: {real:.2%} right in float, {got:.2%} on the accelerator")
    print(f"{path}: {cycles:,} cycles an image predicted, {cycles / 100:.0f} us at 100 MHz")
    assert abs(real - got) <= 0.005


if __name__ == "__main__":
    main()
