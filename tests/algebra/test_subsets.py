"""``ss.subsets``: fractions, folds, long tails, published lists."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shardstream as ss
from shardstream.loaders.subsets import Subset

from ..index_only import pack_index_only
from .bare_index import bare_index

SIZES = [9, 1, 40, 13, 30]


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_index_only(tmp_path_factory.mktemp("i") / "out", SIZES)


@pytest.fixture(scope="module")
def resharded(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    """The same samples in other shards."""
    return pack_index_only(tmp_path_factory.mktemp("i") / "out", [50, 3, 40])


def keys(ds: Any) -> list[str]:
    found: list[str] = ds.index_columns(["key"])["key"].to_pylist()
    return found


def classes(ds: Any, column: str = "label") -> np.ndarray:
    return np.bincount(ds.column(column), minlength=4)


@pytest.mark.parametrize("by", [None, "label", "n_captions"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.999, 1.0])
def test_a_fraction_has_exactly_its_size(ds: ss.ShardDataset, share: float, by: str | None) -> None:
    """Rounded to the nearest row; of each value of ``by`` its share to within one row."""
    part = ds.select(ss.subsets.fraction(share, by=by))
    assert len(part) == int(share * len(ds) + 0.5)
    if by is not None:
        assert (np.abs(classes(part, by) - share * classes(ds, by)) < 1 + 0.5).all()
        assert (np.abs(classes(part, by) - classes(ds, by) * len(part) / len(ds)) < 1).all()


@settings(max_examples=30)
@given(
    small=st.floats(0.001, 1), large=st.floats(0.001, 1), seed=st.integers(0, 3), by=st.sampled_from([None, "label"])
)
def test_a_larger_fraction_contains_a_smaller_one(
    ds: ss.ShardDataset, small: float, large: float, seed: int, by: str | None
) -> None:
    """Of the same seed, stratified or not."""
    small, large = sorted((small, large))
    inner, outer = (set(keys(ds.select(ss.subsets.fraction(share, seed, by)))) for share in (small, large))
    assert inner <= outer


SUBSETS: list[Subset] = [
    ss.subsets.fraction(0.3),
    ss.subsets.fraction(0.3, seed=1, by="label"),
    ss.subsets.fold(1, 4),
    ss.subsets.fold(1, 4, by="label", held_out=True),
    ss.subsets.long_tail(0.5, largest=4),
]


@pytest.mark.parametrize(
    "subset", SUBSETS, ids=["fraction", "fraction by label", "fold", "held-out fold by label", "long tail"]
)
def test_membership_depends_on_neither_shards_nor_order(
    ds: ss.ShardDataset, resharded: ss.ShardDataset, subset: Subset
) -> None:
    """The same keys, however they lie in shards; and from a pickled copy."""
    assert ds.counts.tolist() != resharded.counts.tolist()
    assert keys(ds.select(subset)) == keys(resharded.select(subset))
    assert keys(ds.select(pickle.loads(pickle.dumps(subset)))) == keys(ds.select(subset))


def test_seeds_give_other_rows_and_digests(ds: ss.ShardDataset) -> None:
    """About a third of the rows of two halves of other seeds differ; the digest tells them apart."""
    one, two = (ds.select(ss.subsets.fraction(0.5, seed)) for seed in (0, 1))
    assert 10 < len(set(keys(one)) - set(keys(two))) < 37
    assert one.digest != two.digest
    assert one.digest == ds.select(ss.subsets.fraction(0.5)).digest


@pytest.mark.parametrize("by", [None, "label"])
@pytest.mark.parametrize("of", [2, 3, 7])
def test_folds_are_disjoint_even_and_together_everything(ds: ss.ShardDataset, of: int, by: str | None) -> None:
    """Held-out folds differ by at most one row, and with ``by`` by at most one row of each class."""
    held = [ds.select(ss.subsets.fold(i, of, by=by, held_out=True)) for i in range(of)]
    train = [ds.select(ss.subsets.fold(i, of, by=by)) for i in range(of)]
    assert sorted(key for fold in held for key in keys(fold)) == sorted(keys(ds))
    for kept, rest in zip(held, train, strict=True):
        assert sorted(keys(kept) + keys(rest)) == sorted(keys(ds))
    sizes = [len(fold) for fold in held]
    assert max(sizes) - min(sizes) <= 1
    if by is not None:
        counts = np.stack([classes(fold) for fold in held])
        assert (counts.max(0) - counts.min(0) <= 1).all()


def test_a_fraction_of_a_fold_and_a_fold_of_a_fraction(ds: ss.ShardDataset) -> None:
    """Subsets compose; fractions and folds of one seed are drawn apart."""
    fold = ss.subsets.fold(0, 2, held_out=True)
    part = ds.select(fold).select(ss.subsets.fraction(0.5, by="label")).select(pc.field("size") > 5)
    assert set(keys(part)) < set(keys(ds.select(fold)))
    both = set(keys(ds.select(ss.subsets.fraction(0.5)))) & set(keys(ds.select(fold)))
    assert 12 < len(both) < 36


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> dict[int, ss.ShardDataset]:
    """50,000 rows of 10 and of 100 classes, as CIFAR has them."""
    made, rows = {}, 50_000
    for count in (10, 100):
        labels = ("int64", [i * 7 % count for i in range(rows)])
        names = [f"{count}-{i:05d}" for i in range(rows)]
        out = tmp_path_factory.mktemp("b") / "out"
        made[count] = bare_index(out, names, {"label": labels}, [10_000] * 5, label="label")
    return made


@pytest.mark.parametrize(
    ("count", "imbalance", "total", "head", "last"),
    [
        (10, 0.01, 12_406, [5_000, 2_997, 1_796], 50),
        (10, 0.1, 20_431, [5_000], 500),
        (100, 0.01, 10_847, [500, 477, 455], 5),
        (100, 0.1, 19_573, [500], 50),
    ],
)
def test_long_tails_have_the_published_sizes(
    balanced: dict[int, ss.ShardDataset], count: int, imbalance: float, total: int, head: list[int], last: int
) -> None:
    """CIFAR-10-LT and CIFAR-100-LT as Cui et al. cut them."""
    tail = balanced[count].select(ss.subsets.long_tail(imbalance))
    sizes = np.bincount(tail.column("label"))
    assert len(tail) == total
    assert sizes[: len(head)].tolist() == head
    assert sizes[-1] == last
    weaker = balanced[count].select(ss.subsets.long_tail(min(1.0, 2 * imbalance)))
    assert set(keys(tail)) <= set(keys(weaker))


def test_a_long_tail_that_cannot_be_is_refused(ds: ss.ShardDataset) -> None:
    """Classes that are too small or would vanish are named; so is a ratio instead of its inverse."""
    with pytest.raises(
        ss.OptionError, match=r"takes 33 rows of class 1 \(usual\), which has 23; choose another largest"
    ):
        ds.select(ss.subsets.long_tail(0.2))
    with pytest.raises(ss.OptionError, match=r"takes 0 rows of class 2 \(rare\), which has 9"):
        ds.select(ss.subsets.long_tail(0.01, largest=20))
    with pytest.raises(ss.OptionError, match=r"0\.01 for a ratio of 100, not 100"):
        ss.subsets.long_tail(100)
    with pytest.raises(ss.OptionError, match="'nothing' is not in the index of 'train', which has label, labels"):
        ds.select(ss.subsets.long_tail(0.5, "nothing"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ss.subsets.fraction(0), "above 0 and at most 1, not 0"),
        (lambda: ss.subsets.fraction(1.5), "not 1.5"),
        (lambda: ss.subsets.fraction(float("nan")), "not nan"),
        (lambda: ss.subsets.fold(3, 3), "fold 3 of 3"),
        (lambda: ss.subsets.fold(0, 1), "at least 2"),
        (lambda: ss.subsets.long_tail(0.1, largest=0), "largest must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    """Before any dataset is there."""
    with pytest.raises(ss.OptionError, match=message):
        make()


def test_strata_come_from_single_values(ds: ss.ShardDataset) -> None:
    """Lists are no strata."""
    with pytest.raises(ss.OptionError, match="'labels' holds list"):
        ds.select(ss.subsets.fraction(0.5, by="labels"))


def test_text_and_null_values_are_strata_too(tmp_path: Path) -> None:
    """Each text is one; so are the rows without. Their order in the index does not matter."""
    values = ["b", None, "a", "b", "a", "b", "b", "b", None, "a"] * 4  # b comes first, from behind a does
    rows = [f"k{i:02d}" for i in range(40)]
    one = bare_index(tmp_path / "one", rows, {"kind": ("string", values)}, [40])
    other = bare_index(tmp_path / "two", rows[::-1], {"kind": ("string", values[::-1])}, [15, 25])
    half = ss.subsets.fraction(0.5, by="kind")
    for subset in (half, ss.subsets.fraction(0.3, by="kind"), ss.subsets.fold(0, 3, by="kind", held_out=True)):
        assert sorted(keys(one.select(subset))) == sorted(keys(other.select(subset)))
    counts = {kind: one.select(half).index["kind"].to_pylist().count(kind) for kind in ("a", "b", None)}
    assert counts == {"a": 6, "b": 10, None: 4}


IMAGENET_LT = """\
train/n01440764/n01440764_10026.JPEG 0
train/n01443537/n01443537_22.JPEG 1

train/n01440764/n01440764_18.JPEG 0
"""
ROWS = ["n01440764_10026", "n01440764_18", "n01443537_22", "n01443537_9"]


@pytest.fixture
def imagenet(tmp_path: Path) -> ss.ShardDataset:
    return bare_index(tmp_path / "in", ROWS, {"label": ("int64", [0, 0, 1, 1])}, [3, 1], label="label")


def test_a_published_list_selects_its_rows(imagenet: ss.ShardDataset, tmp_path: Path) -> None:
    """ImageNet-LT's lines from a file, its paths alone, plain keys; in canonical order."""
    (tmp_path / "ImageNet_LT_train.txt").write_text(IMAGENET_LT)
    wanted = ["n01440764_10026", "n01440764_18", "n01443537_22"]
    for source in (
        tmp_path / "ImageNet_LT_train.txt",
        str(tmp_path / "ImageNet_LT_train.txt"),
        IMAGENET_LT.splitlines(),
        [line.split()[0] for line in IMAGENET_LT.split("\n") if line],
        wanted[::-1],
        [f"{key} {int(key.startswith('n01443'))}" for key in wanted],
    ):
        assert keys(imagenet.select(ss.subsets.listed(source))) == wanted
    assert len(repr(ss.subsets.listed([f"line {i}" for i in range(1000)]))) < 200


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["n01440764_18.JPEG 0", "train/n9/n9_1.JPEG 0"],
            r"of 2 lines, line 'train/n9/n9_1.JPEG 0' is no key of 'train'",
        ),
        (["n01440764_18", "x/n01440764_18.JPEG"], r"key 'n01440764_18' is listed more than once"),
        (
            ["n01440764_18 1"],
            r"1 of 1 lines state another label than the index, the first 'n01440764_18 1', which is 0",
        ),
    ],
)
def test_lines_that_disagree_with_the_index_are_refused(
    imagenet: ss.ShardDataset, lines: list[str], message: str
) -> None:
    """Absent, repeated, labelled by another order of classes."""
    with pytest.raises(ss.OptionError, match=message):
        imagenet.select(ss.subsets.listed(lines))


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    """When the subset is made, not when it is used."""
    with pytest.raises(ss.OptionError, match=r"there is no list .*nothing\.txt"):
        ss.subsets.listed(tmp_path / "nothing.txt")


def test_keys_in_folders_are_found_by_their_longest_match(tmp_path: Path) -> None:
    """A path names the key it ends in, with dots as packing writes them; a label may follow a key with spaces."""
    ds = bare_index(tmp_path / "out", ["a/b_c", "b_c", "my dog 7"], {}, [3])
    assert keys(ds.select(ss.subsets.listed(["train/a/b.c.jpg", "z/b.c.jpg", "my dog 7"]))) == keys(ds)
    assert keys(ds.select(ss.subsets.listed(["my dog 7 3"]))) == ["my dog 7"]
