"""Exceptions cross between processes, as with `multiprocessing`, and can be copied."""

from __future__ import annotations

import copy
import pickle

import pytest

import wasi_nn_torch
import wit_host
from wasi_nn_torch import contract
from wasi_nn_torch.contract import BackendMissing, ErrorCode, NnError
from wit_host import GuestExit, GuestLimit, ResultError

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu

#: Arguments of the constructors that take other things than a text.
ARGUMENTS = {
    BackendMissing: ("no engine", "pip install engine"),
    GuestExit: ("guest.wasm", 3),
    GuestLimit: ("too much", "memory", "0: f"),
    NnError: (ErrorCode.TOO_LARGE, "too much", "device_bytes"),
    ResultError: (5,),
}
PUBLIC = {
    each
    for package in (wasi_nn_torch, wit_host, contract)
    for each in map(vars(package).get, package.__all__)
    if isinstance(each, type) and issubclass(each, BaseException)
}


@pytest.mark.parametrize("kind", sorted(PUBLIC, key=lambda each: each.__name__))
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_a_public_exception_is_the_same_afterwards(kind, again):
    error = kind(*ARGUMENTS.get(kind, ("it failed",)))
    error.add_note("raised while the guest ran")
    other = again(error)
    assert type(other) is kind
    assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
