"""The errors with which a guest-supplied model is refused."""

from __future__ import annotations

from wasi_nn_torch.contract.errors import ErrorCode, NnError


def refusal(reason: str) -> NnError:
    """The error for a model that the check does not admit."""
    return NnError(ErrorCode.SECURITY, f"this host does not admit the model: {reason}")


def damaged(reason: str) -> NnError:
    """The error for bytes that are not an ONNX model."""
    return NnError(ErrorCode.INVALID_ENCODING, f"the bytes are not an ONNX model, or a damaged one: {reason}")
