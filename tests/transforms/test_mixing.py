"""MixUp and CutMix: pixels and labels by torchvision's formulas, partners that are never a copy of the same image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from shardstream.transforms import Compose, CutMix, MixedLabels, MixUp, MixUpOrCutMix, Normalize
from shardstream.transforms.mixing_draw import Mixture, cut_boxes, draw
from shardstream.transforms.mixing_partners import MODES, batch_word, key_words, partners

from .samples import batch_of, ks_distance, noise, seeds, u64

Mixing = MixUp | CutMix | MixUpOrCutMix
ALL: list[Mixing] = [
    kind(num_classes=10, mode=mode) for kind in (MixUp, CutMix, MixUpOrCutMix) for mode in ("batch", "pair", "elem")
]


def named(mixing: Mixing) -> str:
    return f"{type(mixing).__name__}-{mixing.recipe.mode}"


def mixable(count: int = 12, base: int = 7, **fields: Any) -> dict[str, Any]:
    images = noise(count, 3, 18, 22, seed=base).float() / 64 - 2
    return batch_of(images, base, label=torch.arange(count) % 10, **fields)


def drawn(mixing: Mixing, batch: dict[str, Any]) -> Mixture:
    hw = tuple(batch["image"].shape[2:])
    return draw(mixing.recipe, batch["key"], u64(batch["seed"]), mixing.stage, hw)


@pytest.mark.parametrize("mixing", ALL, ids=named)
def test_pixels_and_labels_are_what_was_drawn(mixing: Mixing) -> None:
    """Row by row from the definition: an average or a box, and the same shares of both labels."""
    batch = mixable()
    m, out = drawn(mixing, batch), mixing(batch)
    one_hot = torch.nn.functional.one_hot(batch["label"], 10).float()
    for row, (partner, share, cut, box) in enumerate(zip(m.partner, m.share, m.cut, m.boxes, strict=True)):
        x0, y0, x1, y1 = box.tolist()
        expected = batch["image"][row].clone()
        if cut:
            expected[:, y0:y1, x0:x1] = batch["image"][partner][:, y0:y1, x0:x1]
            assert share == 1 - (x1 - x0) * (y1 - y0) / (18 * 22)
        else:
            expected = expected * np.float32(share) + batch["image"][partner] * (1 - np.float32(share))
        torch.testing.assert_close(out["image"][row], expected, rtol=0, atol=1e-6)
        label = one_hot[row] * share + one_hot[partner] * (1 - share)
        torch.testing.assert_close(out["label"][row], label.float(), rtol=0, atol=1e-6)
    assert (m.partner != np.arange(12)).all()
    assert out["label"].dtype == torch.float32


@pytest.mark.parametrize("kind", ["MixUp", "CutMix"])
@pytest.mark.parametrize("dense", [False, True])
def test_images_and_labels_equal_torchvisions_for_the_same_lam_box_and_partner(kind: str, dense: bool) -> None:
    """Its own transform on our rows in the order that makes its partner, the previous row, ours."""
    mixing = MixUp(0.4, 10) if kind == "MixUp" else CutMix(1.0, 10)
    batch = mixable()
    if dense:
        batch["label"] = (torch.arange(120).reshape(12, 10) % 3 == 0).float()
    m, out = drawn(mixing, batch), mixing(batch)
    order = [0]
    while (following := int(m.partner[order[-1]])) != 0:
        order.append(following)
    assert len(order) == 12  # one cycle through the whole batch
    order = order[::-1]  # so that the partner stands before
    reference = v2.MixUp(num_classes=10) if kind == "MixUp" else v2.CutMix(num_classes=10)
    params = {"labels": batch["label"][order], "batch_size": 12, "lam": float(m.share[0])}
    params |= {"box": tuple(m.boxes[0].tolist()), "lam_adjusted": float(m.share[0])}
    theirs = reference.transform(batch["image"][order], params)
    labels = reference.transform(params["labels"], params)
    torch.testing.assert_close(out["image"][order], theirs, rtol=0, atol=1e-6)
    torch.testing.assert_close(out["label"][order], labels, rtol=0, atol=1e-6)


def test_lam_and_boxes_are_distributed_as_torchvisions() -> None:
    """10,000 draws each: MixUp's lam, CutMix's clipped lam and all four sides of its box."""
    count, limit = 10_000, 1.95 * (2 / 10_000) ** 0.5
    keys, seed = [f"k{row}" for row in range(count)], u64(seeds(count))
    up = draw(MixUp(0.2, 2, "elem").recipe, keys, seed, 1, (50, 80))
    cut = draw(CutMix(1.0, 2, "elem").recipe, keys, seed, 1, (50, 80))
    torch.manual_seed(0)
    reference = v2.MixUp(alpha=0.2, num_classes=2)
    lam = np.array([reference.make_params([])["lam"] for _ in range(count)])
    assert ks_distance(up.share, lam) < limit
    cutting, image = v2.CutMix(num_classes=2), [torch.empty(2, 3, 50, 80)]
    theirs = [cutting.make_params(image) for _ in range(count)]
    assert ks_distance(cut.share, np.array([p["lam_adjusted"] for p in theirs])) < limit
    boxes = np.array([p["box"] for p in theirs])
    assert max(ks_distance(cut.boxes[:, side], boxes[:, side]) for side in range(4)) < limit


@settings(max_examples=200, deadline=None)
@given(
    keys=st.lists(st.sampled_from(["", "a", "b", "c", "d", "e", "f", "g"]), max_size=24),
    mode=st.sampled_from(MODES),
    seed=st.integers(0, 2**63 - 1),
)
def test_no_row_meets_its_own_key_or_a_filler(keys: list[str], mode: str, seed: int) -> None:
    """Any repeats and fillers: partners differ in key, all rows are mixed where no key fills more than half."""
    row_seeds = np.arange(len(keys), dtype=np.uint64) + np.uint64(seed)
    partner, shared = partners(key_words(keys), batch_word(row_seeds, key_words(keys), 1), mode)
    valid = [row for row, key in enumerate(keys) if key]
    assert sorted(partner.tolist()) == list(range(len(keys))) or mode != "pair"
    for row, other in enumerate(partner.tolist()):
        assert other == row or (keys[row] and keys[other] and keys[row] != keys[other])
    largest = max((keys.count(key) for key in set(keys) if key), default=0)
    alone = sum(partner[row] == row for row in valid)
    if 2 * largest <= len(valid) - (mode == "pair"):
        assert alone == (len(valid) % 2 if mode == "pair" else 0)
    if mode == "pair":
        assert (partner[partner] == np.arange(len(keys))).all()
        assert (shared == shared[partner]).all()


def test_partners_are_uniform_over_the_other_rows() -> None:
    """6 rows, 3,000 batches: each of 30 pairs within 5 standard deviations of its share; all modes."""
    names = key_words(list("abcdef"))
    for mode in MODES:
        met = np.zeros((6, 6))
        for batch in u64(seeds(18_000)).reshape(3_000, 6):
            met[np.arange(6), partners(names, batch_word(batch, names, 1), mode)[0]] += 1
        assert not met.diagonal().any()
        others = met[~np.eye(6, dtype=bool)]
        assert np.abs(others - 600).max() < 5 * (3_000 * 0.2 * 0.8) ** 0.5


def test_the_mixture_depends_on_seeds_keys_and_stage_only() -> None:
    """Same batch, same mixture; another seed (another epoch), key or place in the pipeline, another mixture."""
    mixing = MixUp(1.0, 10)
    batch = mixable()
    first = mixing(batch)["image"]
    torch.manual_seed(99)
    assert torch.equal(mixing(batch)["image"], first)
    assert torch.equal(MixUp(1.0, 10)(batch)["image"], first)
    for changed in (
        {"seed": batch["seed"] + 1},
        {"key": [*batch["key"][:-1], "other"]},
    ):
        assert not torch.equal(mixing({**batch, **changed})["image"], first)
    again = list(Compose([mixing, MixUp(1.0, 10)]))[1]
    assert not torch.equal(again(batch)["image"], first)


def test_a_pair_shares_one_lam_an_element_has_its_own_a_batch_one() -> None:
    """timm's three modes."""
    batch = mixable()
    share = {mode: drawn(MixUp(1.0, 10, mode), batch).share for mode in MODES}
    assert len(set(share["batch"])) == 1
    assert len(set(share["elem"])) == 12
    assert len(set(share["pair"])) == 6
    both = drawn(MixUpOrCutMix(1.0, 1.0, 10, "elem"), batch).cut
    assert 0 < both.sum() < 12


def test_p_is_the_share_that_is_mixed() -> None:
    """2,000 rows: within 4 standard deviations; the others keep every bit and their own label."""
    keys = [f"k{row}" for row in range(2_000)]
    m = draw(MixUp(1.0, 10, "elem", 0.3).recipe, keys, u64(seeds(2_000)), 1, (8, 8))
    assert abs((m.share < 1).mean() - 0.3) < 4 * (0.21 / 2_000) ** 0.5
    assert (m.partner[m.share == 1] == np.flatnonzero(m.share == 1)).all()
    batch = mixable()
    out = MixUp(1.0, 10, p=0.0)(batch)
    assert torch.equal(out["image"], batch["image"])
    assert torch.equal(out["label"].argmax(1), batch["label"])


def test_fillers_of_a_short_batch_stay_and_meet_nobody() -> None:
    """A loader's invalid rows: zeros, label -100, key ''. Their label becomes an empty row."""
    batch = mixable()
    batch["key"][9:] = [""] * 3
    batch["image"][9:] = 0
    batch["label"][9:] = -100
    for mixing in ALL:
        out, m = mixing(batch), drawn(mixing, batch)
        assert not out["image"][9:].any()
        assert not out["label"][9:].any()
        assert (m.partner[:9] < 9).all()
        torch.testing.assert_close(out["label"][:9].sum(1), torch.ones(9))


def test_a_batch_of_copies_or_of_one_stays_as_it_is() -> None:
    """Nobody to meet: labels become rows all the same, so that a loss sees one kind."""
    for count in (1, 4):
        batch = mixable(count) | {"key": ["same"] * count}
        for mixing in ALL:
            out = mixing(batch)
            assert torch.equal(out["image"], batch["image"])
            assert torch.equal(out["label"].argmax(1), batch["label"])


def test_a_body_crop_and_vad_are_averaged_along() -> None:
    """EMOTIC with MixUp: both crops by the same lam; missing numbers (NaN) stay missing."""
    vad = torch.rand(12, 3)
    vad[0, 1] = torch.nan
    batch = mixable(categories=(torch.rand(12, 26) > 0.9).float(), vad=vad)
    del batch["label"]
    batch["body"] = batch["image"].clone()
    mixing = MixUp(0.5, labels=MixedLabels("categories", also=("vad",), multi_label=True))
    out, m = mixing(batch), drawn(mixing, batch)
    assert torch.equal(out["body"], out["image"])
    share = torch.from_numpy(m.share).float()[:, None]
    expected = vad * share + vad[m.partner] * (1 - share)
    torch.testing.assert_close(out["vad"], expected, equal_nan=True)
    assert out["vad"].isnan().sum() == 2  # its own row and its partner's


def test_bytes_may_be_cut_and_half_floats_mixed() -> None:
    """CutMix moves pixels of any type; MixUp computes in float32 and rounds once."""
    batch = mixable()
    cut = CutMix(1.0, 10)({**batch, "image": noise(12, 3, 18, 22)})["image"]
    assert cut.dtype == torch.uint8
    half = batch["image"].bfloat16()
    mixed = MixUp(1.0, 10)({**batch, "image": half})["image"]
    assert torch.equal(mixed, MixUp(1.0, 10)({**batch, "image": half.float()})["image"].bfloat16())


def test_cut_boxes_cover_what_lam_leaves_where_no_rim_clips_them() -> None:
    """A centre in the middle of 100 x 200, lam 0.75: half of each side."""
    assert cut_boxes(np.array([0.75]), np.array([[0.5, 0.5]]), (100, 200)).tolist() == [[50, 25, 150, 75]]
    assert cut_boxes(np.array([0.0, 1.0]), np.zeros((2, 2)), (100, 200)).tolist() == [[0, 0, 100, 50], [0, 0, 0, 0]]


@pytest.mark.parametrize("mixing", ALL, ids=named)
def test_pixels_and_labels_stay_on_their_device(mixing: Mixing) -> None:
    """None passes through the CPU (meta tensors cannot)."""
    batch = mixable()
    away = {**batch, "image": batch["image"].to("meta"), "label": batch["label"].to("meta")}
    out = mixing(away)
    assert out["image"].device.type == out["label"].device.type == "meta"
    assert out["label"].shape == (12, 10)


def test_the_number_of_classes_is_bound_from_the_datasets_histogram() -> None:
    """Named classes, empty ones among them; numbers without gaps; a given number is kept; gaps are not guessed."""
    named_classes = {"histograms": {"label": {"cat": 3, "dog": 0, "owl": 1}}}
    assert MixUp().bind(named_classes).num_classes == 3
    assert MixUp().bind({"histograms": {"label": {str(n): 5 for n in range(10)}}}).num_classes == 10
    assert MixUp().bind({"histograms": {"label": {"0": 5, "7": 1}}}).num_classes is None
    assert MixUp(num_classes=7).bind(named_classes).num_classes == 7
    pipeline = Compose([Normalize(((0.5,) * 3, (0.5,) * 3)), CutMix(mode="elem")]).bind(named_classes)
    out = pipeline({**mixable(), "image": noise(12, 3, 8, 8), "label": torch.arange(12) % 3})
    assert out["label"].shape == (12, 3)


def test_drawn_mixtures_keep_their_golden_values() -> None:
    """A checkpoint resumed with a newer library mixes the same rows by the same lam."""
    m = draw(MixUpOrCutMix(0.2, 1.0, 10, "elem").recipe, list("abcd"), np.arange(4, dtype=np.uint64), 1, (50, 50))
    assert m.partner.tolist() == [3, 0, 1, 2]
    assert np.round(m.share, 4).tolist() == [0.079, 0.0043, 0.8592, 0.0081]
    assert m.boxes.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [34, 2, 50, 24], [0, 0, 0, 0]]
