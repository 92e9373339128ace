"""Sizes as people write and read them."""

from __future__ import annotations

import pytest

from wasi_nn_torch.contract.sizes import parse_size, spell_size

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1 << 20),
        ("7B", 7),
        ("512MiB", 512 << 20),
        ("2GiB", 2 << 30),
        ("1TiB", 1 << 40),
        ("1.5GB", 1_500_000_000),
        ("1.5 kB", 1500),
        ("0.1MB", 100_000),  # exact, unlike a binary fraction
        ("1.1GB", 1_100_000_000),
        (" 64 mib ", 64 << 20),
        ("0.5KiB", 512),
    ],
)
def test_a_size_is_bytes_or_a_number_with_a_unit(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", "-1", "+1", "12XB", "1,5GB", "1e9", ".5GB", "5.GB", "1 2", "1G", "٣MB", "1_0"]
)
def test_a_text_that_is_not_a_size_is_refused(text):
    with pytest.raises(ValueError, match="is not a size; give bytes, or a number with one of the units kB, MB"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0.5", "0.3B", "0.0001kB", "0.1KiB"])
def test_a_fraction_of_a_byte_is_refused(text):
    with pytest.raises(ValueError, match="is not a whole number of bytes"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (18_776_316, "18.8 MB"), (150_000_000_000, "150.0 GB")],
)
def test_sizes_are_spelled_in_the_largest_unit_that_fits(size, text):
    assert spell_size(size) == text
