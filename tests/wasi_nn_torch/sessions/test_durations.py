"""Durations as people write and read them, and limits that are not valid."""

from __future__ import annotations

import pytest

from wasi_nn_torch import Engine, Limits
from wasi_nn_torch.sessions.durations import parse_duration

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2),
        ("0.5", 0.5),
        ("2s", 2),
        ("500ms", 0.5),
        ("1.5min", 90),
        ("2h", 7200),
        (" 250 MS ", 0.25),
        ("0.001", 0.001),
        ("277777h", 277_777 * 3600),
    ],
)
def test_a_duration_is_seconds_or_a_number_with_a_unit(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "-1s", "+1", "2x", "1,5s", "1e9", ".5s", "1.s", "1 2", "1m30s", "2m", "nan", "inf", "٣s"]
)
def test_a_text_that_is_not_a_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration; give seconds, or a number with one of the units ms, s,"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0", "0s", "0.0001", "0.9ms", "277778h", "999999999999999"])
def test_a_duration_out_of_range_is_refused(text):
    with pytest.raises(ValueError, match="is out of range; give at least 1ms and at most"):
        parse_duration(text)


@pytest.mark.parametrize("timeout", [0, -1, -0.5, float("nan"), float("inf"), float("-inf"), 1e300])
def test_a_timeout_is_above_0_and_finite(timeout):
    with pytest.raises(
        ValueError, match=r"the limit `timeout` is .*; give seconds, more than 0 and at most 1e\+09, or"
    ):
        Limits(timeout=timeout)


@pytest.mark.parametrize("name", ["device_bytes", "host_bytes", "tensors", "memory", "resources"])
def test_a_limit_is_not_negative(name):
    with pytest.raises(ValueError, match=f"the limit `{name}` is -1; give a whole number of at least 0, or None"):
        Limits(**{name: -1})


@pytest.mark.parametrize("value", [1.5, float("nan"), "1"])
def test_a_limit_is_a_whole_number(value):
    with pytest.raises(TypeError):
        Limits(memory=value)


def test_limits_may_be_0_or_none():
    assert Limits(0, 0, 0, 0, 0.001, 0) == Limits(0, 0, 0, 0, 0.001, 0)
    assert Limits.none() == Limits(*[None] * 11)


def test_the_memory_for_models_is_not_negative():
    with pytest.raises(ValueError, match="`model_bytes` is -1"):
        Engine(model_bytes=-1)
