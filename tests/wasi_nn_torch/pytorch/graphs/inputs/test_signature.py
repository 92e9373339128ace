import pytest

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.pytorch.graphs import Kind, Parameter, Signature

# These are told from bytes, on whatever device.
pytestmark = pytest.mark.cpu

IMAGE = Parameter("image", Kind.TENSOR)
MASK = Parameter("mask", Kind.TENSOR)
SCALE = Parameter("scale", Kind.FLOAT, optional=True)

ONE = Signature((IMAGE,))
TWO = Signature((IMAGE, MASK))
OPTIONAL = Signature((IMAGE, SCALE))


@pytest.mark.parametrize(
    ("signature", "names", "parameters"),
    [
        (TWO, ["image", "mask"], [IMAGE, MASK]),
        (TWO, ["mask", "image"], [MASK, IMAGE]),
        (TWO, ["0", "1"], [IMAGE, MASK]),
        (TWO, ["1", "0"], [MASK, IMAGE]),
        (ONE, ["image"], [IMAGE]),
        (ONE, ["0"], [IMAGE]),
        (ONE, ["anything"], [IMAGE]),
        (ONE, [""], [IMAGE]),
        (OPTIONAL, ["image"], [IMAGE]),
        (OPTIONAL, ["scale", "image"], [SCALE, IMAGE]),
        (OPTIONAL, ["0", "1"], [IMAGE, SCALE]),
        (OPTIONAL, ["anything"], [IMAGE]),
        (Signature((SCALE,)), ["anything"], [SCALE]),
        (Signature((SCALE,)), [], []),
        (Signature(()), [], []),
    ],
)
def test_names_are_the_models_own_or_positions_or_any_for_one(signature, names, parameters):
    assert signature.match(names) == parameters


@pytest.mark.parametrize(
    ("signature", "names", "reason"),
    [
        (TWO, ["image"], "missing: `mask`"),
        (TWO, ["0"], "missing: `mask`"),
        (TWO, [], "missing: `image`, `mask`"),
        (TWO, ["x", "y"], "unknown: `x`, `y`"),
        (TWO, ["x"], "unknown: `x`"),
        (TWO, ["image", "1"], "mixed, or unknown: `1`"),
        (TWO, ["image", "mask", "x"], "mixed, or unknown: `x`"),
        (TWO, ["0", "2"], "mixed, or unknown: `2`"),
        (TWO, ["image", "image"], "repeated: `image`"),
        (ONE, ["x", "y"], "unknown: `x`, `y`"),
        (ONE, ["image", "x"], "mixed, or unknown: `x`"),
        (OPTIONAL, ["scale"], "missing: `image`"),
        (Signature(()), ["x"], "unknown: `x`"),
    ],
)
def test_names_that_do_not_fit_are_refused_with_the_reason(signature, names, reason):
    with pytest.raises(NnError) as caught:
        signature.match(names)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert reason in caught.value.text


def test_a_refusal_says_what_the_model_wants_and_what_came():
    with pytest.raises(NnError, match="the model wants `image`, `scale` \\(optional\\); given: `x`, `y`"):
        OPTIONAL.match(["x", "y"])


def test_a_refusal_is_one_short_line_whatever_the_guest_wrote():
    with pytest.raises(NnError) as caught:
        TWO.match([f"{number}\n\x1b[31m" + "x" * 1_000_000 for number in range(100)])
    assert len(caught.value.text) < 5000
    assert caught.value.text.isprintable()


def test_a_refusal_of_very_many_names_lists_a_few():
    with pytest.raises(NnError, match="and 99984 more"):
        TWO.match([f"x{number}" for number in range(100_000)])
