"""The one line that a command ends with, whatever its message contains."""

from __future__ import annotations

import pytest
import typer

from wasi_nn_torch.cli.exits import HOST_FAILURE, USAGE, bad_value, fail, fails_on

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu


def test_a_message_is_one_printable_line_on_standard_error(capsys):
    with pytest.raises(typer.Exit) as ended:
        fail("first\n  second \x1b[31m", HOST_FAILURE)
    assert ended.value.exit_code == HOST_FAILURE
    assert capsys.readouterr() == ("", "error: first second \N{REPLACEMENT CHARACTER}[31m\n")


def test_an_expected_exception_ends_the_command_and_another_one_passes(capsys):
    with pytest.raises(typer.Exit) as ended, fails_on(ValueError, OSError):
        raise ValueError("no such device")
    assert (ended.value.exit_code, capsys.readouterr().err) == (USAGE, "error: no such device\n")
    with pytest.raises(LookupError), fails_on(ValueError):
        raise LookupError


def test_a_wrong_value_names_its_option():
    with pytest.raises(typer.BadParameter, match="not a size") as refused, bad_value("--max-memory"):
        raise ValueError("not a size")
    assert refused.value.param_hint == "--max-memory"
