"""The options of an engine whose guests may supply models that are isolated, on every device of the tests."""

from __future__ import annotations


def isolated(device: object) -> dict[str, object]:
    """Options of `Engine`; workers have the simulated accelerator too."""
    kind = str(device).partition(":")[0]
    imports = ["tests.simulated.loaded"] if kind == "simulated" else []
    return {"guest_models": "isolated", "guest_devices": kind != "cpu", "imports": imports}
