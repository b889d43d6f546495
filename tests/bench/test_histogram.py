"""Percentiles from buckets, against numpy's on all the times themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxport.bench.histogram import RELATIVE_ERROR, Histogram

TIMES = st.lists(st.integers(0, 10**13), min_size=1, max_size=300)


def filled(times: list[int]) -> Histogram:
    histogram = Histogram()
    for time in times:
        histogram.add(time)
    return histogram


@settings(max_examples=50)
@given(TIMES, st.floats(0, 100))
def test_a_percentile_is_within_the_error_that_is_told(times: list[int], share: float) -> None:
    exact = np.percentile(times, share, method="inverted_cdf")
    found = filled(times).percentile(share)
    assert abs(found - exact) <= RELATIVE_ERROR * exact


@settings(max_examples=50)
@given(TIMES)
def test_the_longest_and_the_mean_are_exact(times: list[int]) -> None:
    histogram = filled(times)
    assert (histogram.longest, histogram.count) == (max(times), len(times))
    assert histogram.mean == pytest.approx(sum(times) / len(times), rel=1e-12)
    assert histogram.percentile(100) <= histogram.longest


@settings(max_examples=50)
@given(TIMES)
def test_each_time_lies_in_its_bucket(times: list[int]) -> None:
    buckets = [*filled(times).buckets()]
    for low, width, count in buckets:
        assert sum(low <= time < low + width for time in times) == count
        assert width == 1 or width <= low / 128
    assert sum(count for _, _, count in buckets) == len(times)


@settings(max_examples=50)
@given(TIMES, TIMES)
def test_merged_is_as_if_counted_together(one: list[int], other: list[int]) -> None:
    merged = filled(one)
    merged.merge(filled(other))
    assert merged == filled(one + other)


def test_a_real_distribution_takes_few_buckets() -> None:
    times = (np.random.default_rng(0).lognormal(13, 1, 200_000)).astype(int).tolist()
    histogram = filled(times)
    assert len(histogram.counts) < 2000
    for share in (50, 90, 99, 99.9):
        exact = np.percentile(times, share, method="inverted_cdf")
        assert histogram.percentile(share) == pytest.approx(exact, rel=RELATIVE_ERROR)


def test_what_has_no_end_is_later_than_all() -> None:
    histogram = filled([5] * 98)
    histogram.beyond = 2
    assert (histogram.percentile(98), histogram.percentile(99)) == (5, math.inf)


def test_nothing_was_measured() -> None:
    assert math.isnan(Histogram().percentile(50))
    assert math.isnan(Histogram().mean)
