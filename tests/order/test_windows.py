"""Windows are permuted alike whatever is asked for together: an order does not depend on the batch it is read in."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shardstream.loaders.order import EpochOrder, OrderSpec


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 1500), min_size=1, max_size=4).filter(any),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1000, 1024, 1025, 2000]),
    st.integers(1, 700),
)
def test_the_order_is_one_for_any_batch_size(items: list[int], lanes: int, window: int, batch: int) -> None:
    """Windows above and below the size at which another permutation takes over, the last ones short: every item once."""
    order = EpochOrder(np.array(items), OrderSpec(True, 1, lanes, window), 0)
    bounds = range(0, order.items, batch)
    places = np.concatenate([order.sequence(np.arange(a, min(a + batch, order.items))) for a in bounds])
    assert sorted(places.tolist()) == list(range(order.items))
    assert places.tolist() == order.sequence(np.arange(order.items)).tolist()
