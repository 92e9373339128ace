"""One network, tried in every way: `python -m benchmarks.zoo.trial NUMBER GUEST` prints the outcome as JSON.

Each network has its own process, so that what it leaves behind in PyTorch does not affect the next one.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.utils._pytree as pytree

from benchmarks.zoo.forms import SUFFIXES, Impossible, made
from benchmarks.zoo.networks import Inputs, Network, networks
from wasi_nn_torch import Directory, Engine, GuestError
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.dtypes import DTYPES, ELEMENT_TYPES
from wasi_nn_torch.pytorch.graphs.inputs.outputs import leaves

#: The tolerance for another order of additions: as fractions of each element, and of the largest one.
_OF_EACH, _OF_LARGEST = 1e-3, 1e-4


def tried(network: Network, guest: Path) -> dict[str, str]:
    """The outcome of each way: "ok", with how the file was made if that matters, or the reason for a failure."""
    torch.manual_seed(0)
    model, inputs = network.make()
    with torch.inference_mode():
        expected = _tensors(model(**inputs))
    outcome = {"parameters": str(sum(parameter.numel() for parameter in model.parameters()))}
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(guest, Path(name), network.imports, inputs, expected)
        outcome["module"] = trial.with_module(model)
        for form, suffix in SUFFIXES.items():
            path = trial.job / f"model{suffix}"
            try:
                how = made(form, model, inputs, path)
            except Impossible as error:
                outcome[form] = outcome[f"{form}, guest"] = f"PyTorch: {error}"
                continue
            outcome[form] = f"{trial.by_name(path)} {how}".strip()
            outcome[f"{form}, guest"] = trial.from_guest(path)
            path.unlink()
    return outcome


class Trial:
    """Runs the guest on one network's inputs, and compares its outputs with the expected ones.

    Files go through the command line, in a process that never imported the package that made the network.
    """

    def __init__(
        self, guest: Path, directory: Path, imports: Sequence[str], inputs: Inputs, expected: Sequence[torch.Tensor]
    ) -> None:
        self.job, self._answer = directory / "job", directory / "answer"
        self._guest = guest
        self._imports = imports
        self._expected = expected
        self.job.mkdir()
        self._answer.mkdir()
        listed = []
        for path, tensor in leaves(dict(inputs)):
            name = ".".join(path)
            (self.job / name).write_bytes(_bytes(tensor))
            listed.append([name, ELEMENT_TYPES[tensor.dtype].name, list(tensor.shape), name])
        (self.job / "inputs.json").write_text(json.dumps(listed))

    def with_module(self, module: torch.nn.Module) -> str:
        """The outcome of a module that the operator registers."""
        said: list[bytes] = []
        dirs = {str(self.job): "job", str(self._answer): Directory("answer", writable=True)}
        with Engine("cpu") as engine:
            try:
                engine.register("net", module)
            except ModelError as error:
                return str(error)
            with engine.session(args=["name=net"], dirs=dirs, stderr=said.append) as session:
                try:
                    status = session.run(self._guest)
                except GuestError as error:
                    return str(error)
        return _last(b"".join(said).decode()) if status else self._compared()

    def by_name(self, path: Path) -> str:
        """The outcome of a file that the operator offers."""
        return self._run("--graph", f"net={path}", model="name=net")

    def from_guest(self, path: Path) -> str:
        """The outcome of a file that the guest supplies itself, with the check."""
        return self._run("--guest-models", "isolated", model=f"file=job/{path.name}")

    def _run(self, *options: str, model: str) -> str:
        imports = [option for module in self._imports for option in ("--import", module)]
        directories = ["--dir", f"{self.job}::job", "--dir", f"{self._answer}::answer:rw"]
        command = [
            sys.executable,
            "-m",
            "wasi_nn_torch",
            "run",
            "--device",
            "cpu",
            *imports,
            *options,
            *directories,
            str(self._guest),
            model,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return _last(done.stderr) if done.returncode else self._compared()

    def _compared(self) -> str:
        answered = json.loads((self._answer / "outputs.json").read_text())
        outputs = [self._output(*each) for each in answered]
        if len(outputs) != len(self._expected):
            return f"{len(outputs)} outputs, not {len(self._expected)}"
        for output, expected in zip(outputs, self._expected, strict=True):
            try:
                expected = expected.reshape(output.shape).to(output.dtype)
                largest = float(expected.double().abs().max()) if expected.numel() else 0.0
                torch.testing.assert_close(output, expected, rtol=_OF_EACH, atol=_OF_LARGEST * largest)
            except (AssertionError, RuntimeError) as error:
                return f"other values: {' '.join(str(error).split())[:150]}"
        return "ok"

    def _output(self, _name: str, ty: str, dimensions: list[int], file: str) -> torch.Tensor:
        data = bytearray((self._answer / file).read_bytes())
        dtype = DTYPES[ElementType[ty]]
        return torch.frombuffer(data, dtype=dtype).reshape(dimensions) if data else torch.empty(dimensions, dtype=dtype)


def _tensors(result: object) -> list[torch.Tensor]:
    return [leaf.detach() for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def _last(said: str) -> str:
    """The last line of the output, which is the reason."""
    return (said.strip().splitlines() or ["failed without a word"])[-1]


def _bytes(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().view(torch.uint8).numpy())


def main() -> None:
    """Print the outcome of one network."""
    logging.disable(logging.CRITICAL)
    number, guest = sys.argv[1:]
    print(json.dumps(tried(networks()[int(number)], Path(guest))))


if __name__ == "__main__":
    main()
