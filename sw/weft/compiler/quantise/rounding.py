"""Rounding of weights so that a product's results are near, and not the weights themselves.

A weight that is rounded up can be made good by rounding another one down, as far as their inputs
go together: pixels of a patch are much alike, and what follows a ReLU is never negative. The
second moments of the inputs say how far. Weights are rounded one after the other, those with the
largest inputs first, and what each leaves is moved to the ones that follow.

Source: Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers, arXiv:2210.17323, algorithm 1; Nagel et al., Up or Down? Adaptive Rounding for
Post-Training Quantization, arXiv:2004.10568, for the objective.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from weft_hw.numerics import WEIGHT_MAX

__all__ = ["MOST_TERMS", "patches", "round_weights", "rounding_error", "second_moments"]

#: Weights of one result, at most: their moments are the square of it. More are rounded to nearest.
MOST_TERMS = 4608
#: Columns whose errors are moved on together.
_BLOCK = 128
#: Least share of the mean moment that is added to all: directions that no input has are not free.
_DAMPING = 0.01


def patches(
    x: torch.Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> torch.Tensor:
    """What a convolution multiplies for each result: [1, C, H, W] -> [groups, K, results]."""
    found = F.unfold(x, kernel, dilation=dilation, padding=padding, stride=stride)[0]
    return found.reshape(groups, -1, found.shape[-1])


def second_moments(inputs: torch.Tensor) -> torch.Tensor:
    """Of inputs [groups, K, samples], damped the more, the fewer samples there are: [groups, K, K].

    Means are in them: how bright a picture is differs between pictures, and a bias makes good only
    the mean of all.
    """
    x = inputs.to(torch.float64)
    _, terms, samples = x.shape
    found = x @ x.transpose(1, 2) / samples
    mean = found.diagonal(dim1=1, dim2=2).mean(1)
    # Where every input is zero nothing is known, and nearest is best.
    damping = torch.where(mean > 0, max(_DAMPING, terms / samples) * mean, 1.0)
    return found + torch.diag_embed(damping[:, None].expand(-1, terms))


def rounding_error(errors: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """Mean square of what `errors` [groups, N, K] of weights do to results: [groups, N]."""
    return ((errors @ moments) * errors).sum(2)


def _nearest(x: torch.Tensor) -> torch.Tensor:
    return torch.clamp(torch.floor(x + 0.5), -WEIGHT_MAX, WEIGHT_MAX)


def round_weights(
    weights: torch.Tensor, steps: torch.Tensor, moments: torch.Tensor
) -> torch.Tensor:
    """Integers whose results are near to those of `weights`; never worse than the nearest ones.

    Parameters
    ----------
    weights : float [groups, N, K]
    steps : float [groups, N], > 0
    moments : float64 [groups, K, K], positive definite: of :func:`second_moments`

    Returns
    -------
    tensor
        float64 [groups, N, K], whole numbers in -127..127
    """
    real = weights.to(torch.float64) / steps.to(torch.float64)[..., None]
    near = _nearest(real)
    order = moments.diagonal(dim1=1, dim2=2).argsort(dim=1, descending=True)
    by_size = order[:, None].expand_as(real)
    found = torch.empty_like(real)
    found.scatter_(2, by_size, _moved_on(real.gather(2, by_size), _factor(moments, order)))
    better = rounding_error(found - real, moments) <= rounding_error(near - real, moments)
    return torch.where(better[..., None], found, near)


def _factor(moments: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Upper Cholesky factor of the inverse of `moments`, whose rows and columns are in `order`."""
    rows = moments.gather(1, order[:, :, None].expand_as(moments))
    both = rows.gather(2, order[:, None].expand_as(moments))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(both))
    return torch.linalg.cholesky(inverse, upper=True)


def _moved_on(real: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """`real` [groups, N, K], rounded from the first to the last column."""
    left, found = real.clone(), torch.empty_like(real)
    terms = real.shape[2]
    for first in range(0, terms, _BLOCK):
        stop = min(first + _BLOCK, terms)
        errors = torch.empty_like(real[:, :, first:stop])
        for i in range(first, stop):
            column = left[:, :, i]
            found[:, :, i] = _nearest(column)
            error = (column - found[:, :, i]) / factor[:, i, i, None]
            errors[:, :, i - first] = error
            left[:, :, i:stop] -= error[..., None] * factor[:, i, None, i:stop]
        left[:, :, stop:] -= errors @ factor[:, first:stop, stop:]
    return found
