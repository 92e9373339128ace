"""Attacks as a guest makes them: it loads a model, computes it, and hands on what it gets."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.wasi_nn_torch.helpers.attack_rows.row import Attack
from wasi_nn_torch import Engine, GuestError, Limits
from wasi_nn_torch.contract.ledger import LedgerSnapshot
from wasi_nn_torch.pytorch.dtypes import ELEMENT_TYPES
from wasi_nn_torch.sessions.guests import Guest

MIB = 1 << 20
#: What an attack may take.
TIGHT = Limits(device_bytes=256 * MIB, host_bytes=64 * MIB, tensors=100, memory=256 * MIB, timeout=4)


@dataclass
class Outcome:
    """What came of an attack: the guest's answer, how the guest ended, and the session's figures after its end."""

    ended: str
    seconds: float
    memory: LedgerSnapshot
    written: bytes = b""
    answers: list = field(default_factory=list)

    @property
    def code(self) -> str | None:
        """The code of the error that the guest got."""
        return next((answer["code"] for answer in self.answers if isinstance(answer, dict)), None)

    @property
    def text(self) -> str:
        """The text of that error."""
        return next((answer["text"] for answer in self.answers if isinstance(answer, dict)), "")

    @property
    def outputs(self) -> list[bytes]:
        """The bytes of all outputs that the guest read."""
        computed = [answer for answer in self.answers if isinstance(answer, list)]
        return [bytes.fromhex(output[3]) for outputs in computed for output in outputs]

    @property
    def heard(self) -> bytes:
        """All that the guest learned."""
        return b"".join([self.text.encode(), self.ended.encode(), *self.outputs])


def attack(engine: Engine, probe: Guest, row: Attack, folder: Path, limits: Limits = TIGHT) -> Outcome:
    """Let the probe load the model of a row from a file in `folder`, and compute it once."""
    (folder / "model").write_bytes(row.model())
    inputs = [
        [name, list(x.shape), ELEMENT_TYPES[x.dtype].spelling, x.numpy().tobytes().hex()] for name, x in row.inputs
    ]
    arguments = ["from_bytes", "models/model", "AUTODETECT", "CPU", json.dumps(inputs)]
    out: list[bytes] = []
    options = {"stdout": out.append, "stderr": lambda _: None, "dirs": {str(folder): "models"}}
    session = engine.session(args=arguments, limits=limits, **options)
    started = time.perf_counter()
    with session:
        try:
            ended = f"status {session.run(probe)}"
        except GuestError as error:
            ended = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    written = b"".join(out)
    return Outcome(ended, seconds, session.stats.memory, written, _answers(written))


def _answers(written: bytes) -> list:
    """The guest's answers; one that a guest did not finish is left out."""
    answers = []
    for line in written.splitlines():
        try:
            answers.append(json.loads(line))
        except ValueError:
            continue
    return answers
