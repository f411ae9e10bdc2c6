"""Weights rounded for their inputs: against every choice there is, and against nearest."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from weft.compiler.quantise.rounding import (
    patches,
    round_weights,
    rounding_error,
    second_moments,
)


def moments(rng, groups, terms, samples):
    """Inputs that have much in common."""
    x = rng.normal(1, 1, (groups, 1, samples)) + 0.3 * rng.normal(0, 1, (groups, terms, samples))
    return second_moments(torch.from_numpy(x))


def nearest(weights, steps):
    return torch.clamp(torch.floor(weights / steps[..., None] + 0.5), -127, 127)


@pytest.mark.parametrize("seed", range(8))
def test_near_to_the_best_choice(seed):
    """Of the 3 ** 6 integers around, the choice is among the best; it is no worse than nearest."""
    rng = np.random.default_rng(seed)
    weights = torch.from_numpy(rng.normal(0, 10, (2, 3, 6)))
    steps = torch.from_numpy(rng.uniform(0.5, 2, (2, 3)))
    h = moments(rng, 2, 6, 500)
    got = round_weights(weights, steps, h)
    real, near = weights / steps[..., None], nearest(weights, steps)
    every = [rounding_error(near + torch.tensor(d, dtype=torch.float64) - real, h)
             for d in itertools.product((-1, 0, 1), repeat=6)]  # fmt: skip
    every = torch.stack(every).sort(0).values
    found = rounding_error(got - real, h)
    assert (found <= rounding_error(near - real, h)).all()
    assert (found <= every[15]).all(), "of 729 among the 16 best"


@pytest.mark.parametrize(
    ("groups", "count", "terms"), [(1, 5, 1), (3, 1, 9), (2, 7, 130), (1, 4, 300)]
)
def test_blocks_of_columns(groups, count, terms):
    """As one column after the other, without blocks; whole numbers in range."""
    rng = np.random.default_rng(terms)
    weights = torch.from_numpy(rng.normal(0, 60, (groups, count, terms)))
    steps = torch.ones(groups, count, dtype=torch.float64)
    h = moments(rng, groups, terms, 4 * terms)
    got = round_weights(weights, steps, h).numpy()
    assert (got == got.round()).all() and abs(got).max() <= 127
    want = np.empty_like(got)
    for g in range(groups):
        order = np.argsort(-h[g].numpy().diagonal(), kind="stable")
        inverse = np.linalg.inv(h[g].numpy()[np.ix_(order, order)])
        upper = np.linalg.cholesky(inverse).T
        left = weights[g].numpy()[:, order].copy()
        for i in range(terms):
            q = np.clip(np.floor(left[:, i] + 0.5), -127, 127)
            want[g][:, order[i]] = q
            left[:, i:] -= np.outer((left[:, i] - q) / upper[i, i], upper[i, i:])
    real, near = weights, nearest(weights, steps)
    better = rounding_error(torch.from_numpy(want) - real, h) <= rounding_error(near - real, h)
    want = torch.where(better[..., None], torch.from_numpy(want), near).numpy()
    assert (got != want).mean() < 0.01, "but for halves"


def test_what_has_no_inputs_is_rounded_to_nearest():
    weights = torch.from_numpy(np.random.default_rng(0).normal(0, 20, (2, 3, 4)))
    steps = torch.ones(2, 3, dtype=torch.float64)
    h = second_moments(torch.zeros(2, 4, 7))
    assert torch.equal(round_weights(weights, steps, h), nearest(weights, steps))


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_patches_are_what_a_convolution_multiplies(groups):
    rng = np.random.default_rng(groups)
    x = torch.from_numpy(rng.normal(0, 1, (1, 6, 9, 8)))
    w = torch.from_numpy(rng.normal(0, 1, (12, 6 // groups, 3, 2)))
    found = patches(x, (3, 2), (2, 1), (1, 0), (1, 2), groups)
    got = w.reshape(groups, 12 // groups, -1) @ found
    want = F.conv2d(x, w, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=groups)
    torch.testing.assert_close(got.reshape(want.shape), want)
