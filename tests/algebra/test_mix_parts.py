"""``ss.mix``: what parts must agree in, and what of each comes through: labels, pictures, statistics, remote bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shardstream as ss

from ..toy import pack_toy, toy_pixels
from .bare_index import bare_index

CLASSES = ("cat", "dog")


def test_statistics_add_up_where_they_do_exactly(tmp_path: Path) -> None:
    """Pixels of all parts pooled, as numpy pools them; histograms summed; each part's own beside them."""
    a, b = pack_toy(tmp_path / "a", 20), pack_toy(tmp_path / "b", 7, ragged=True)
    mixed = ss.mix([a, b], names=["a", "b"])
    pixels = [toy_pixels(i).reshape(-1, 3) for i in range(20)] + [toy_pixels(i, True).reshape(-1, 3) for i in range(7)]
    every = np.concatenate(pixels).astype(np.float64) / 255
    assert np.allclose(mixed.statistics["pixel_mean"], every.mean(0), atol=1e-12)
    assert np.allclose(mixed.statistics["pixel_std"], every.std(0), atol=1e-12)
    assert mixed.statistics["histograms"]["label"] == {c: 4 if c != "g" else 3 for c in "abcdefg"}
    heights = [12] * 20 + [8 + i % 9 for i in range(7)]
    sizes = mixed.statistics["image_sizes"]["height"]
    assert sizes == {"min": 8, "max": 14, "mean": pytest.approx(np.mean(heights))}
    assert mixed.statistics["parts"]["b"] == b.statistics
    batch = next(
        iter(ss.Loader(mixed, batch_size=8, transform=ss.transforms.Compose([ss.transforms.Normalize("dataset")])))
    )
    raw = next(iter(ss.Loader(mixed, batch_size=8)))["image"].float() / 255
    wanted = (raw - batch["image"].new_tensor(every.mean(0))[:, None, None]) / batch["image"].new_tensor(every.std(0))[
        :, None, None
    ]
    assert np.allclose(batch["image"], wanted, atol=1e-5)


def rows(count: int) -> list[str]:
    return [f"k{i}" for i in range(count)]


def labelled(out: Path, names: tuple[str, ...], column: str = "label") -> ss.ShardDataset:
    classes = {column: names} if names else {}
    return bare_index(out, rows(3), {column: ("int64", [0, 1, 0])}, [3], label=column, classes=classes, name=out.name)


def test_parts_must_agree_in_their_classes(tmp_path: Path) -> None:
    """Another order, another number, another column, no label: named; kept apart where asked."""
    a = labelled(tmp_path / "a", CLASSES)
    none = bare_index(tmp_path / "f", rows(3), {}, [3], name="f")
    mine = "a/train has the label column 'label' and"
    cases = [
        (
            labelled(tmp_path / "b", CLASSES[::-1]),
            "'label' counts other classes in a/train than in b/train: 0 is 'cat'",
        ),
        (labelled(tmp_path / "c", (*CLASSES, "owl")), "there are 2 there and 3 here"),
        (labelled(tmp_path / "d", ()), "there are 2 there and 0 here"),
        (labelled(tmp_path / "e", CLASSES, "fine"), f"{mine} e/train has the label column 'fine'"),
        (none, f"{mine} f/train has no label"),
    ]
    for other, message in cases:
        with pytest.raises(ss.OptionError, match=message):
            ss.mix([a, other])
        mixed = ss.mix([a, other], labels="separate")
        assert (mixed.info.label_column, mixed.classes, mixed.labelled) == (None, (), True)
        with pytest.raises(ss.OptionError, match="has no label column"):
            ss.Loader(mixed, batch_size=2, shuffle=True, sampler=ss.samplers.ClassBalanced())
    assert ss.mix([a, labelled(tmp_path / "g", CLASSES)]).classes == CLASSES
    assert ss.mix([none, none]).labelled is False


def test_labels_kept_apart_come_with_their_part(tmp_path: Path, parts: list[ss.ShardDataset]) -> None:
    """Each part's own numbers, -100 where it has none; samplers by weight balance each part's own classes."""
    toy = pack_toy(tmp_path / "toy", 14)
    bare = parts[1].join({"key": parts[1].index["key"], "other": [0] * 23})
    assert toy.classes != bare.classes
    with pytest.raises(ss.OptionError, match="index-only/train has no images and toy/train has"):
        ss.mix([toy, bare], labels="separate")
    one, two = labelled(tmp_path / "a", CLASSES), labelled(tmp_path / "b", CLASSES[::-1])
    none = bare_index(tmp_path / "c", rows(3), {}, [3], name="c")
    mixed = ss.mix([one, two, none], labels="separate")
    assert [int(label) for s in range(2) for label in mixed.fetcher.rows(s).label] == [0, 1, 0] * 2  # type: ignore[union-attr]
    assert mixed.fetcher.rows(2).label is None
    by_weight = ss.mix([one, two], weights=[1, 1], labels="separate")
    fitted = ss.Stream(by_weight, batch_size=2, shuffle=True, sampler=ss.samplers.ClassBalanced(size=8)).sampled
    assert [fitted.copies.of(0, shard).tolist() for shard in (0, 1)] == [[1, 2, 1]] * 2


def test_a_batch_of_separate_labels(tmp_path: Path) -> None:
    """Of pictures: two toy splits, one labelled by a joined column of other classes."""
    toy = pack_toy(tmp_path / "toy", 8)
    keys = toy.index["key"].to_pylist()
    # a split without a label: the same pictures as a foreign folder of tars would be
    from shardstream.shard_writer.foreign import index_tars

    for url in toy.urls:
        strip_label(Path(url), tmp_path / "bare" / Path(url).name)
    index_tars(str(tmp_path / "bare"), None, "train")
    bare = ss.open(tmp_path / "bare")
    assert bare.info.label_column is None
    mixed = ss.mix([toy, bare], labels="separate")
    batch = next(iter(ss.Loader(mixed, batch_size=20)))
    assert batch["label"].tolist() == [int(key[-5:]) % 7 for key in keys] + [-100] * 12
    assert batch["dataset"].tolist() == [0] * 8 + [1] * 8 + [-1] * 4
    assert (batch["image"][:8] == batch["image"][8:16]).all()
    named = bare.join({"key": keys, "label": [9] * 8})
    assert next(iter(ss.Loader(named, batch_size=9)))["label"].tolist() == [9] * 8 + [-100]
    assert named[0]["label"] == 9
    half = bare.join({"key": keys[:1], "label": [9]}, missing="null")
    assert [item["label"] for item in half] == [9] + [None] * 7


def strip_label(source: Path, target: Path) -> None:
    import tarfile

    target.parent.mkdir(exist_ok=True)
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            if not member.name.endswith(".cls"):
                new.addfile(member, old.extractfile(member))


def test_pictures_of_different_fields_mix(tmp_path: Path) -> None:
    """jpg beside png: each part's member is its image; the mixture calls both ``image``."""
    from ..helpers import picture_folder

    toy = pack_toy(tmp_path / "toy", 8)
    source = picture_folder(tmp_path / "src", 6)
    for path in source.rglob("*.png"):
        from PIL import Image

        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    ss.write("folder", source=str(source), out=str(tmp_path / "jpgs"))
    jpgs = ss.open(tmp_path / "jpgs", split="train")
    assert (toy.info.image_field, jpgs.info.image_field) == ("png", "jpg")
    mixed = ss.mix([toy, jpgs], labels="separate")
    assert mixed.info.image_field == "image"
    batch = next(iter(ss.Loader(mixed, batch_size=14)))
    for i in range(14):
        wanted = np.asarray((toy[i] if i < 8 else jpgs[i - 8])["image"])
        assert (batch["image"][i].numpy().transpose(1, 2, 0) == wanted).all()
    assert mixed[9]["image"].size == jpgs[1]["image"].size


def shout(examples: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"loud": [key.upper() for key in examples["key"]], "dataset": examples["dataset"]}


def test_transforms_stand_on_the_mixture(parts: list[ss.ShardDataset]) -> None:
    """A part's own would be dropped, so it is refused; selections of the mixture keep the mixture's."""
    with pytest.raises(ss.OptionError, match="has a with_transform function, which a mixture would drop"):
        ss.mix([parts[0].with_transform(shout), parts[1]])
    loud = ss.mix(parts).with_transform(shout).select(range(90, 100))
    assert loud[5] == {"loud": "ITEM-00001", "dataset": 1}
    batch = next(iter(ss.Loader(loud, batch_size=10)))
    assert batch["loud"][5] == "ITEM-00001"


def test_fields_of_some_parts_alone_stay_in_their_rows(parts: list[ss.ShardDataset]) -> None:
    """A function of items gives what each has: None stands where a part lacks it, nothing moves up."""
    own = parts[1].join({"key": parts[1].index["key"], "x": [float(i) for i in range(23)]})
    mixed = ss.mix([parts[0], own]).with_transform(lambda examples: dict(examples))
    batch = next(iter(ss.Loader(mixed.select([0, 94, 1, 99]), batch_size=5)))
    assert batch["key"][:4] == ["item-00000", "item-00001", "item-00000", "item-00005"]
    assert batch["x"] == [None, None, 0.0, 5.0, None]
    assert mixed[[0, 99]]["x"] == [None, 5.0]


def test_remote_parts_are_read_ahead_each_in_its_own_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is told its own coming rows; batches are those of local shards; counters are of all parts."""
    from shardstream.loaders.fetch import Fetcher
    from shardstream.shard_writer.storage import open_store

    local = [pack_toy(tmp_path / name, count, ragged=name == "b") for name, count in (("a", 40), ("b", 25))]
    for number, part in enumerate(local):
        store = open_store(f"memory://mix-test-{number}")
        for entry in part.store.files():
            store.write(entry.path, part.store.read(entry.path))
    remote = [ss.open(f"memory://mix-test-{n}", cache_dir=tmp_path / "cache", block_bytes=2_000) for n in (0, 1)]
    options: dict[str, Any] = {"batch_size": 8, "shuffle": True, "drop_last": False}
    mixed = ss.mix(remote, weights=[1, 1])
    assert ss.mix(local).fetcher.outlook == 0 < mixed.fetcher.outlook
    assert mixed.fetcher.sample_bytes == pytest.approx(sum(s.bytes for p in remote for s in p.info.shards) / 65)
    announced: dict[int, set[tuple[int, int]]] = {id(part.fetcher): set() for part in remote}
    ahead = Fetcher.ahead

    def told(fetcher: Fetcher, shards: np.ndarray, rows: np.ndarray) -> None:
        announced[id(fetcher)] |= set(zip(shards.tolist(), rows.tolist(), strict=True))
        ahead(fetcher, shards, rows)

    monkeypatch.setattr(Fetcher, "ahead", told)
    theirs, mine = ss.Loader(ss.mix(local, weights=[1, 1]), **options), ss.Loader(mixed, **options)
    seen: set[tuple[int, str]] = set()
    for one, other in zip(theirs, mine, strict=True):
        assert one["key"] == other["key"]
        seen |= {(int(d), key) for d, key in zip(other["dataset"], other["key"], strict=True) if key}
        assert all(np.array_equal(a, b) for a, b in zip(one["image"], other["image"], strict=True))
    named = {
        (number, part.fetcher.rows(shard).key(row))
        for number, part in enumerate(remote)
        for shard, row in announced[id(part.fetcher)]
    }
    assert named == seen
    counters = mixed.fetcher.counters
    assert counters == remote[0].fetcher.counters + remote[1].fetcher.counters
    assert min(part.fetcher.counters.bytes_fetched for part in remote) > 0
    assert ss.mix([remote[0], remote[0].select([1])]).fetcher.counters == remote[0].fetcher.counters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [1]}, "1 weights were given for 2 datasets"),
        ({"names": ["x", "y", "z"]}, "3 names were given for 2 datasets"),
        ({"weights": [1, 0]}, r"weights are \[1, 0\]; give finite numbers above 0"),
        ({"weights": [1, float("inf")]}, "give finite numbers"),
        ({"labels": "mine"}, "labels='mine' is not one of"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    parts: list[ss.ShardDataset], options: dict[str, Any], message: str
) -> None:
    """Other numbers of weights or names than of datasets, weights that are none, unknown words."""
    with pytest.raises(ss.OptionError, match=message):
        ss.mix(parts[:2], **options)


def test_what_is_no_dataset_or_has_no_row_is_refused(parts: list[ss.ShardDataset], tmp_path: Path) -> None:
    """Addresses, no datasets at all, empty parts with a share, parts with a column that the mixture makes."""
    a, b, _ = parts
    with pytest.raises(ss.OptionError, match="these are none"):
        ss.mix([])
    with pytest.raises(ss.OptionError, match="these are ShardDataset, str"):
        ss.mix([a, "b"])  # type: ignore[list-item]
    with pytest.raises(ss.OptionError, match="nothing of index-only/train#1 is left"):
        ss.mix([a, b.select([])], weights=[1, 1])
    assert len(ss.mix([a, b.select([])])) == 94
    own = bare_index(tmp_path / "out", rows(3), {"dataset": ("string", ["x", "y", "z"])}, [3])
    with pytest.raises(ss.OptionError, match="bare/train#0 has a column or JSON key 'dataset'"):
        ss.mix([own, own])


def test_what_describes_whole_shards_is_asked_of_the_parts(parts: list[ss.ShardDataset]) -> None:
    """A mixture has no tars of one kind."""
    pytest.importorskip("datasets")
    with pytest.raises(ss.OptionError, match="describes the shards of one split, not MixedDataset"):
        ss.hf_features(ss.mix(parts))
    labelled = parts[1].join({"key": parts[1].index["key"], "x": [1] * 23})
    assert ss.hf_features(labelled) == ss.hf_features(parts[1])


def test_a_view_needs_its_column_in_every_part(parts: list[ss.ShardDataset], tmp_path: Path) -> None:
    """Captions of a mixture are those of all parts, if all have them."""
    found = [
        caption
        for batch in ss.Loader(ss.mix(parts[:2]), view="caption", batch_size=9)
        for caption in batch["caption"]
        if caption
    ]
    assert found == [f"{k} of {i}" for part in parts[:2] for i in range(len(part)) for k in range(i * 5 % 4)]
    plain = bare_index(
        tmp_path / "a", rows(3), {"label": ("int64", [0, 1, 0])}, [3], label="label", classes={"label": CLASSES}
    )
    captioned = bare_index(
        tmp_path / "b",
        rows(3),
        {"label": ("int64", [0, 1, 0]), "n_captions": ("int64", [1, 2, 3])},
        [3],
        label="label",
        classes={"label": CLASSES},
    )
    with pytest.raises(
        ss.OptionError, match=r"needs the index column 'n_captions', which split 'bare/train#0 \+ bare/train#1'"
    ):
        ss.Loader(ss.mix([plain, captioned]), view="caption")
