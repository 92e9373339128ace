"""What the tensors of new guests in Python do; each check runs on this machine's Python and in a guest."""

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tensors import SIZES, Tensor

CHECKS: list[Callable[[], None]] = []


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS.append(function)
    return function


@contextmanager
def refused(kind: type[Exception], text: str) -> Iterator[None]:
    message = f"no {kind.__name__}"
    try:
        yield
    except kind as error:
        message = str(error)
    assert text in message, message


@check
def numbers_are_fp32_unless_a_dtype_is_given():
    assert Tensor.of([1, 2.5]) == Tensor(b"\0\0\x80?\0\0\x20@", "FP32", (2,))
    assert Tensor.of([1, 2], "U8") == Tensor(b"\1\2", "U8", (2,))
    assert Tensor.of(7, "I32") == Tensor(b"\7\0\0\0", "I32", ())


@check
def lists_become_what_they_were_again():
    for dtype in SIZES:
        if dtype != "BF16":
            for value in (3, [], [1], [1, 2, 3], [[1, 2], [3, 4], [5, 6]], [[[1], [2]]], [[], []]):
                assert Tensor.of(value, dtype).tolist() == value, (dtype, value)


@check
def the_shape_of_lists_is_their_lengths():
    assert Tensor.of([[1, 2, 3], [4, 5, 6]]).shape == (2, 3)
    assert Tensor.of([[1, 2, 3], [4, 5, 6]]).numbers() == [1, 2, 3, 4, 5, 6]
    assert Tensor.of([[], []]).shape == (2, 0)
    assert Tensor.of(((1, 2),)).shape == (1, 2)


@check
def an_array_keeps_its_dtype():
    for code, dtype in {"f": "FP32", "d": "FP64", "B": "U8", "i": "I32", "q": "I64"}.items():
        tensor = Tensor.of(array(code, [1, 2, 3]))
        assert (tensor.dtype, tensor.shape) == (dtype, (3,))
        assert tensor.array() == array(code, [1, 2, 3])


@check
def bytes_are_the_elements_of_any_dtype():
    assert Tensor.of(b"\1\2").dtype == "U8"
    assert Tensor.of(bytes(8), "FP32").shape == (2,)
    assert Tensor.of(bytearray(8), "BF16", (2, 2)).shape == (2, 2)


@check
def a_shape_is_given_to_any_value():
    assert Tensor.of([1, 2, 3, 4], shape=(2, 2)).tolist() == [[1, 2], [3, 4]]
    assert Tensor.of(array("f", [1, 2]), shape=(1, 2)).shape == (1, 2)
    assert Tensor.of(Tensor.of([1, 2]), shape=(2, 1)).tolist() == [[1], [2]]


@check
def what_does_not_fit_is_refused():
    with refused(ValueError, "the lists differ in their lengths: expected 2 elements in [3]"):
        Tensor.of([[1, 2], [3]])
    with refused(ValueError, "not all elements can become U8: "):
        Tensor.of([256], "U8")
    with refused(ValueError, "not all elements can become I64: "):
        Tensor.of([1.5], "I64")
    with refused(ValueError, "not all elements can become FP16: "):
        Tensor.of([1e6], "FP16")
    with refused(ValueError, "8 bytes are not FP32 [3]"):
        Tensor.of([1, 2], shape=(3,))
    with refused(ValueError, "'FP8' is not a dtype of wasi-nn; use one of FP16, BF16, FP32, "):
        Tensor.of(b"1", "FP8")
    with refused(TypeError, "cannot make a tensor of str; pass numbers, lists, bytes or an array"):
        Tensor.of("1")
    with refused(TypeError, "wasi-nn has no dtype for elements 'H'; convert them"):
        Tensor.of(array("H", [1]))
    with refused(TypeError, "the elements are FP64, not FP32; convert them first"):
        Tensor.of(array("d", [1]), "FP32")
    with refused(TypeError, "numbers cannot become BF16; use one of FP16, FP32, "):
        Tensor.of([1], "BF16")


@check
def bf16_is_bytes_only():
    with refused(TypeError, "Python has no numbers for BF16; use the bytes in `data`"):
        Tensor(bytes(2), "BF16", (1,)).tolist()
    with refused(TypeError, "`array` has no FP16"):
        Tensor.of([1], "FP16").array()
