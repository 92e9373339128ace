"""`python -m tests.attacks`: run every attack by a guest-supplied model, and print what became of the host.

    --guest-models SETTING   the setting of the engine: checked, isolated, any
    --unchecked              isolated, without the check: workers load models that it refuses
    --seconds N              how long a row may take before its host is killed
    NAME …                   only the rows whose names contain one of these words

A host that ends is followed by a new one for the next row.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.wasi_nn_torch.helpers import unchecked
from tests.wasi_nn_torch.helpers.attack_rows.row import Attack, Harm
from tests.wasi_nn_torch.helpers.attacking import attack
from tests.wasi_nn_torch.helpers.model_attacks import ATTACKS
from tests.wasi_nn_torch.helpers.models import Add, scripted
from tests.wasi_nn_torch.helpers.processes import descendants, resident
from tests.wasi_nn_torch.helpers.pulse import Pulse
from tests.wasi_nn_torch.helpers.secrets import HostSecrets
from wasi_nn_torch import Engine, Limits
from wasi_nn_torch.sessions.guests import Guest

PROBE = Path(__file__).parent.parent / "build" / "tests" / "probe.wasm"
_MOST_BYTES = 6 << 30
_HARMLESS = Attack("a sum", Harm.CONFUSES, "", lambda: scripted(Add()))
#: How long a host may take until it runs the first row, in seconds, on a busy machine.
_STARTS = 120.0


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    setting: str
    imports: list[str]
    seconds: float
    names: list[str]


def main() -> None:
    """Print the table."""
    options = _options()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["WASI_NN_TORCH_CACHE"] = cache
        _prepare()
        print(f"guest_models={options.setting}{', unchecked' * bool(options.imports)}\n")
        print("| attack | the guest gets | the host | s | others waited s | MB | host memory out | log bytes |")
        print("| --- | --- | --- | ---: | ---: | ---: | --- | ---: |")
        for line in _rows(options):
            print(line, flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(description="run every attack by a guest-supplied model")
    parser.add_argument("--guest-models", default="checked", choices=["checked", "isolated", "any"])
    parser.add_argument("--unchecked", action="store_true")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    names = [name for name in ATTACKS if not given.names or any(word in name for word in given.names)]
    return Options(given.guest_models, [unchecked.NAME] if given.unchecked else [], given.seconds, names)


def _prepare() -> None:
    """Compile the probe into the cache, in a process that ends, so that this one may fork."""
    pid = os.fork()
    if pid == 0:
        with Engine("cpu") as engine:
            engine.compile(PROBE)
        os._exit(0)
    os.waitpid(pid, 0)


def _rows(options: Options) -> Iterator[str]:
    """A line for each row; a host that is isolated from its models serves all of them, else each row has its own."""
    rest = options.names
    while rest:
        host = _Host(options, rest if options.setting == "isolated" else rest[:1])
        if not host.lives:
            raise SystemExit(f"the host ended before the first row: {host.end()}")
        while rest and host.lives:
            yield host.line(rest[0])
            rest = rest[1:]
            if options.setting != "isolated":
                break
        host.end()


class _Host:
    """A process that runs rows, while this one watches it."""

    def __init__(self, options: Options, names: list[str]) -> None:
        self._answers, write = os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the host
        self._seconds = options.seconds
        self._pending = b""
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._answers)
            os.dup2(self._log.fileno(), 2)
            _serve(options, names, write)
        os.close(write)
        self._peak = 0
        self.lives = self._answer(time.monotonic() + _STARTS) is not None

    def line(self, name: str) -> str:
        """The line of the table for the next row."""
        self._peak, started, logged = 0, time.monotonic(), self._logged()
        answer = self._answer(started + self._seconds)
        seconds, logged = time.monotonic() - started, self._logged() - logged
        if answer is None:
            self.lives = False
            return _line(name, "nothing", self.end(), seconds, None, self._peak, "", logged)
        row = json.loads(answer)
        return _line(name, row["guest"], "lives", row["seconds"], row["gap"], self._peak, row["found"], logged)

    def end(self) -> str:
        """How the host ended; one that still runs is killed."""
        ended, status = os.waitpid(self.pid, os.WNOHANG) if self.pid else (0, 0)
        if self.pid and not ended:
            for child in (*descendants(self.pid), self.pid):
                os.kill(child, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.pid = 0
        if not ended:
            return "took more than 6 GB, killed" if self._peak > _MOST_BYTES else "still runs, killed"
        return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"status {status >> 8}"

    def _answer(self, end: float) -> bytes | None:
        """The next line that the host writes; None if it ended, takes too long, or takes too much memory."""
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._answers], [], [], 0.05)
            piece = os.read(self._answers, 65536) if ready else None
            if piece == b"":
                time.sleep(0.5)  # until the system has put the process away
                return None
            self._pending += piece or b""
            self._peak = max(self._peak, sum(map(resident, [self.pid, *descendants(self.pid)])))
            if time.monotonic() > end or self._peak > _MOST_BYTES:
                return None
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _logged(self) -> int:
        """The bytes of the host's log up to now."""
        return os.fstat(self._log.fileno()).st_size


def _serve(options: Options, names: list[str], write: int) -> None:
    """Be the host: run the rows, and write an empty line at the start, and a line of JSON for each row."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = 70
    try:
        secrets = HostSecrets()
        engine = Engine("cpu", guest_models=options.setting, imports=options.imports)
        with engine, tempfile.TemporaryDirectory() as folder:
            engine.register("add", scripted(Add()))
            probe = engine.compile(PROBE)
            attack(engine, probe, _HARMLESS, Path(folder), Limits())  # when it returns, everything has started
            os.write(write, b"\n")
            for name in names:
                os.write(write, json.dumps(_outcome(engine, probe, secrets, name, Path(folder))).encode() + b"\n")
        status = 0
    except BaseException:  # noqa: BLE001  # its parent is told
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def _outcome(engine: Engine, probe: Guest, secrets: HostSecrets, name: str, folder: Path) -> dict[str, object]:
    """Run a row, and say what came of it."""
    secrets.plant()
    with Pulse() as pulse:
        outcome = attack(engine, probe, ATTACKS[name], folder)
    guest = f"{outcome.code}: {outcome.text}" if outcome.code else f"{len(outcome.outputs)} outputs"
    if not outcome.ended.startswith("status 0"):
        guest = outcome.ended
    found = ", ".join(secrets.found_in(outcome.heard))
    return {"guest": guest, "seconds": outcome.seconds, "gap": pulse.longest, "found": found}


def _line(
    name: str, guest: str, host: str, seconds: float, gap: float | None, peak: int, found: str, logged: int
) -> str:
    guest = guest.replace("|", "/")
    guest = guest if len(guest) < 130 else f"{guest[:127]}…"
    waited = "" if gap is None else f"{gap:.2f}"
    return f"| {name} | {guest} | {host} | {seconds:.1f} | {waited} | {peak // 1_000_000} | {found} | {logged} |"


if __name__ == "__main__":
    main()
