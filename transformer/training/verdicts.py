"""How good the answers of a classifier are: the measures that lessons compare losses by."""

from typing import NamedTuple

import torch
from torch import Tensor

BINS = 10


class Verdict(NamedTuple):
    """What yes-or-no answers are worth. Shares, 0 … 1."""

    precision: float  # of those it calls positive at p ≥ ½, how many are; 0 where it calls none
    recall: float  # of the positives, how many it calls so
    f1: float  # 2 · precision · recall / (precision + recall)
    average_precision: float  # area under precision over recall, whatever the threshold
    accuracy: float
    calibration: float  # expected calibration error: how far p is from what happens


def judge(p: Tensor, positive: Tensor, weight: Tensor | None = None) -> Verdict:
    """The measures of probabilities p [example] of ``positive`` [example] (bool), each example counting ``weight`` times.

    ValueError where there is no positive or no negative.
    """
    if not positive.any() or positive.all():
        raise ValueError("there must be at least one positive and one negative to judge.")
    p, w = p.double(), torch.ones(len(p), dtype=torch.float64) if weight is None else weight.double()
    called = p >= 0.5
    hit, wanted = w[called & positive].sum(), w[positive].sum()
    precision = (hit / w[called].sum()).item() if called.any() else 0.0
    recall = (hit / wanted).item()
    f1 = 2 * precision * recall / (precision + recall) if hit > 0 else 0.0
    accuracy = (w[called == positive].sum() / w.sum()).item()
    return Verdict(precision, recall, f1, average_precision(p, positive, w), accuracy, calibration(p, positive, w))


def average_precision(p: Tensor, positive: Tensor, weight: Tensor) -> float:
    """Σ_k (R_k − R_{k−1}) P_k over the thresholds k that tell examples apart, from the highest p down."""
    order = p.argsort(descending=True, stable=True)
    p, hits, all_ = p[order], (weight * positive)[order].cumsum(0), weight[order].cumsum(0)
    ends = torch.cat((p[1:] != p[:-1], torch.tensor([True])))  # the last of those with the same p
    precision, recall = (hits / all_)[ends], hits[ends] / hits[-1]
    return (precision * recall.diff(prepend=torch.zeros(1, dtype=recall.dtype))).sum().item()


def calibration(p: Tensor, happened: Tensor, weight: Tensor | None = None) -> float:
    """Expected calibration error: Σ_b share_b · |mean p − share that happened| over ten bins of p (Guo et al. 2017,
    arXiv:1706.04599)."""
    w = torch.ones_like(p) if weight is None else weight
    at = (p * BINS).long().clamp(max=BINS - 1)
    gap = torch.zeros(BINS, dtype=p.dtype).index_add_(0, at, w * (p - happened.to(p.dtype)))
    return (gap.abs().sum() / w.sum()).item()
