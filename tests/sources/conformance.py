"""What every source promises, as one suite: subclass ``SourceConformance`` and give it a ``source`` fixture."""

from __future__ import annotations

import io
import json
import pickle
import re

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from shardstream.shard_writer.json_shape import Shape, add_shape
from shardstream.shard_writer.plan import plan_split
from shardstream.shard_writer.types import Record, Sample, Source, SourceSplit

ARROW = {"int64": int, "float64": float, "string": str, "list<int64>": list, "list<list<int64>>": list}
MOST = 60


def some_records(split: SourceSplit) -> list[Record]:
    """At most 60 records: the first, the last, and evenly between."""
    records = list(split.records())
    step = max(1, len(records) // MOST)
    return [*records[::step], records[-1]]


def samples_of(split: SourceSplit) -> list[Sample]:
    """Samples of ``some_records``."""
    return [split.read(record) for record in some_records(split)]


class SourceConformance:
    """Tests that each source passes; ``source`` is a fixture of the subclass."""

    @pytest.fixture
    def splits(self, source: Source) -> list[SourceSplit]:
        """Every split, opened."""
        return [source.split(name) for name in source.splits()]

    def test_records_are_the_same_on_each_call(self, source: Source, splits: list[SourceSplit]) -> None:
        """Plans of two machines must agree."""
        assert splits
        for split in splits:
            assert list(split.records()) == list(split.records())
            assert list(split.records()) == list(source.split(split.info.name).records())

    def test_keys_are_unique_and_can_name_tar_members(self, splits: list[SourceSplit]) -> None:
        """No dots, backslashes, control characters, empty parts or leading slashes; the planner agrees."""
        for split in splits:
            keys = [record.key for record in split.records()]
            assert len(set(keys)) == len(keys)
            assert not [key for key in keys if re.search(r"[.\\\x00-\x1f\x7f]|^/|/$|//|^$", key)]
            assert plan_split(split.info, split.records(), 100_000_000).samples == len(keys)

    def test_planned_bytes_are_positive_and_near_the_truth(self, splits: list[SourceSplit]) -> None:
        """A shard's size is planned from them."""
        for split in splits:
            assert all(type(record.nbytes) is int and record.nbytes > 0 for record in split.records())
            planned = sum(record.nbytes for record in some_records(split))
            real = sum(len(sample.image or json.dumps(sample.annotations)) + 2048 for sample in samples_of(split))
            assert 0.5 < planned / real < 2.0

    def test_every_json_has_the_same_keys_and_types(self, splits: list[SourceSplit]) -> None:
        """One type per key or null, nested ones too: by the packer's rule, and Arrow itself agrees."""
        for split in splits:
            shape: Shape = {}
            found = samples_of(split)
            for sample in found:
                assert list(sample.annotations) == list(found[0].annotations)
                add_shape(sample.annotations, shape, sample.key)
            pa.array([json.loads(json.dumps(sample.annotations, allow_nan=False)) for sample in found])

    def test_columns_are_those_that_were_declared(self, splits: list[SourceSplit]) -> None:
        """Names and types of the index columns."""
        for split in splits:
            for sample in samples_of(split):
                assert sample.columns.keys() == split.info.columns.keys()
                for name, value in sample.columns.items():
                    assert value is None or type(value) is ARROW[split.info.columns[name]]

    def test_labels_lie_within_the_classes(self, source: Source, splits: list[SourceSplit]) -> None:
        """The label is the one of its column and its JSON, and its name is the class's name."""
        for split in splits:
            column = split.info.label_column
            for sample in samples_of(split):
                if column is None:
                    assert sample.label is None
                    continue
                names = source.about().classes[column]
                assert type(sample.label) is int
                assert 0 <= sample.label < len(names)
                assert sample.columns[column] == sample.annotations[column] == sample.label
                assert sample.annotations[f"{column}_name"] == names[sample.label]

    def test_reading_twice_gives_equal_samples(self, splits: list[SourceSplit]) -> None:
        """Two workers must write the same bytes."""
        for split in splits:
            assert samples_of(split) == samples_of(split)

    def test_a_pickled_split_is_small_and_reads_the_same(self, splits: list[SourceSplit]) -> None:
        """Workers get a copy; pixels and file lists stay behind."""
        for split in splits:
            samples = samples_of(split)
            data = pickle.dumps(split)
            assert len(data) < 20_000
            copy = pickle.loads(data)
            assert copy.info == split.info
            assert samples_of(copy) == samples
            assert list(copy.records()) == list(split.records())

    def test_images_open_as_what_the_image_field_says(self, splits: list[SourceSplit]) -> None:
        """Pillow or NumPy reads every image."""
        for split in splits:
            for sample in samples_of(split):
                if split.info.image_field is None:
                    assert sample.image is None
                    continue
                if split.info.image_field == "npy":
                    assert np.load(io.BytesIO(sample.image), allow_pickle=False).dtype == np.uint8
                    continue
                with Image.open(io.BytesIO(sample.image)) as image:
                    image.load()
                    assert split.info.image_field in ("jpg", (image.format or "").lower())

    def test_about_says_who_and_hides_where(self, source: Source) -> None:
        """Identity goes into the manifest: no absolute path, and the same when asked again."""
        about = source.about()
        assert about.name
        assert about.licence
        assert about.identity
        assert not [text for text in (*about.identity, *about.identity.values()) if text.startswith("/")]
        assert about == source.about()
