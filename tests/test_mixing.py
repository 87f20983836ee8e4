"""Mixup and CutMix: what is in a picture is what its label says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from training import mixing
from training.mixing import Target

COUNT, SIDE = 6, 20


def batch() -> tuple[Tensor, Tensor]:
    """Picture i is i everywhere, and its label is i: a pixel says which picture it comes from."""
    labels = torch.arange(COUNT)
    return labels.float()[:, None, None, None].expand(-1, 3, SIDE, SIDE).clone(), labels


def mixed(mixup: float, cutmix: float, seed: int) -> tuple[Tensor, Target]:
    return mixing.mixed(*batch(), mixup, cutmix, torch.Generator().manual_seed(seed))


def test_off_changes_nothing_and_draws_nothing() -> None:
    pictures, labels = batch()
    random = torch.Generator().manual_seed(0)
    before = random.get_state()
    shown, target = mixing.mixed(pictures, labels, 0, 0, random)
    assert shown is pictures
    assert (target.labels is labels, target.share) == (True, 1)
    assert torch.equal(random.get_state(), before)


@pytest.mark.parametrize("seed", range(20))
def test_mixup_is_the_share_that_it_says_of_both_pictures(seed: int) -> None:
    shown, target = mixed(0.4, 0, seed)
    expected = target.share * target.labels + (1 - target.share) * target.partners
    assert torch.allclose(shown, expected[:, None, None, None].expand_as(shown), atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_pastes_one_box_of_the_partner_as_large_as_it_says(seed: int) -> None:
    shown, target = mixed(0, 1, seed)
    foreign = shown != target.labels[:, None, None, None]
    own_partner = target.labels == target.partners
    shares = 1 - foreign.float().mean((1, 2, 3))
    assert torch.allclose(shares[~own_partner], torch.tensor(target.share), atol=1e-6)
    partners = target.partners[:, None, None, None].expand_as(shown)
    assert torch.equal(shown[foreign], partners[foreign].float())
    rows, columns = foreign.any(0).any(0).any(1).sum(), foreign.any(0).any(0).any(0).sum()
    assert foreign.any(0).any(0).sum() == rows * columns


def test_shares_follow_the_beta_distribution() -> None:
    """Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2a + 1))."""
    random = torch.Generator().manual_seed(0)
    for alpha in (0.2, 1.0, 10.0):
        shares = torch.tensor([mixing.mixed(*batch(), alpha, 0, random)[1].share for _ in range(2000)])
        assert shares.mean().item() == pytest.approx(0.5, abs=0.04)
        assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)


def test_with_both_on_a_coin_decides() -> None:
    whole = [bool((shown == shown[:, :, :1, :1]).all()) for shown, _ in (mixed(5, 1, seed) for seed in range(200))]
    assert 60 < sum(whole) < 140


def test_the_same_seed_mixes_the_same() -> None:
    assert torch.equal(mixed(1, 1, 3)[0], mixed(1, 1, 3)[0])
    assert not torch.equal(mixed(1, 1, 3)[0], mixed(1, 1, 4)[0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_soft_labels(smoothing: float) -> None:
    scores = torch.randn(COUNT, COUNT, generator=torch.Generator().manual_seed(0))
    target = Target(torch.arange(COUNT), torch.arange(COUNT).roll(1), 0.7)
    soft = 0.7 * functional.one_hot(target.labels, COUNT) + 0.3 * functional.one_hot(target.partners, COUNT)
    expected = functional.cross_entropy(scores, soft, label_smoothing=smoothing)
    assert mixing.loss(scores, target, None, smoothing).item() == pytest.approx(expected.item(), rel=1e-5)


def test_without_mixing_the_loss_is_plain_cross_entropy() -> None:
    scores, labels = torch.randn(COUNT, COUNT, generator=torch.Generator().manual_seed(1)), torch.arange(COUNT)
    weights = torch.linspace(0.5, 2, COUNT)
    plain = functional.cross_entropy(scores, labels, weight=weights, label_smoothing=0.1)
    assert torch.equal(mixing.loss(scores, Target(labels, labels, 1.0), weights, 0.1), plain)
