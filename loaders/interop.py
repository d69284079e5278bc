"""Hand our shards to webdataset: local ones by path, remote ones through our store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import webdataset as wds

from ..errors import OptionError
from ..shard_writer.storage import Store

if TYPE_CHECKING:
    from .dataset import ShardDataset


def webdataset_pipeline(ds: ShardDataset, options: Mapping[str, Any]) -> Any:
    """``wds.WebDataset`` over local and http shards; the equivalent pipeline where webdataset has no client.

    Raises OptionError for options in the second case.
    """
    base = ds.info.shard_store(ds.store)
    if base.is_local or base.scheme in ("http", "https"):
        return wds.WebDataset(ds.urls, **{"shardshuffle": False, **options})
    if options:
        raise OptionError(
            f"options {', '.join(options)} go to wds.WebDataset, which cannot open {base.scheme}:// shards itself."
        )
    opener = _Opener(base)
    return _Pipeline(
        wds.SimpleShardList(ds.urls),
        wds.split_by_worker,
        opener,
        wds.tariterators.tar_file_expander,
        wds.tariterators.group_by_keys,
    )


class _Pipeline(wds.DataPipeline, wds.FluidInterface):  # type: ignore[misc]  # webdataset has no types
    """A pipeline with ``.decode``, ``.map`` ... , as ``wds.WebDataset`` has them."""


class _Opener:
    """webdataset's ``url_opener`` stage on our store: adds an open ``stream`` to each {url: ...}."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __call__(self, urls: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        for item in urls:
            path = item["url"].removeprefix(self.store.url + "/")
            yield {**item, "stream": self.store.open(path)}
