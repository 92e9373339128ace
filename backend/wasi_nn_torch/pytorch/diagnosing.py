"""The checks of PyTorch on this machine: its build, devices, threads and compiler."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from wasi_nn_torch.contract.findings import Finding, Health
from wasi_nn_torch.contract.processors import processors
from wasi_nn_torch.contract.sizes import spell_size
from wasi_nn_torch.contract.text import one_line

_CHOOSE = "choose a build at https://pytorch.org/get-started/locally, such as"


def diagnose() -> Iterable[Finding]:
    """The findings, the most important first."""
    yield Finding("PyTorch", f"{torch.__version__}, built for {_build()}")
    yield from _devices()
    yield _threads()
    yield from _compiler()


def _build() -> str:
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    if torch.version.hip:
        return f"ROCm {torch.version.hip}"
    return "XPU" if torch.version.xpu else "Metal (MPS)" if torch.backends.mps.is_built() else "the CPU only"


# --- devices ---


def _devices() -> Iterator[Finding]:
    yield Finding("device cpu", f"{processors()} cores{_host_memory()}")
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        yield _no_accelerator()
        return
    for index in range(torch.accelerator.device_count()):
        yield _device(torch.device(accelerator.type, index))


def _host_memory() -> str:
    """The memory of the machine, as the end of a text; empty if the system does not tell."""
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" not in names:
        return ""
    free, total = (os.sysconf(name) * os.sysconf("SC_PAGE_SIZE") for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"))
    return f", {_free(free, total)}"


def _free(free: int, total: int) -> str:
    return f"{spell_size(free)} of {spell_size(total)} free"


def _device(device: torch.device) -> Finding:
    name = f"device {device}"
    try:
        free, total = torch.accelerator.get_memory_info(device)
        return Finding(name, f"{_title(device)}{_free(free, total)}")
    except Exception as error:  # noqa: BLE001  # drivers raise anything
        reason = one_line(str(error).partition("\n")[0]) or type(error).__name__
        remedy = "check the driver, for example with nvidia-smi, or use another device with --device"
        return Finding(name, f"{_title(device)}does not respond: {reason}", Health.MISSING, remedy)


def _title(device: torch.device) -> str:
    """The vendor's name of a device, as the start of a text; empty if PyTorch does not tell."""
    ask = getattr(torch.get_device_module(device), "get_device_name", None)
    return "" if ask is None else f"{ask(device)}, "


def _no_accelerator() -> Finding:
    """The reason why there is no accelerator, which is not a problem on a machine without one."""
    name = "accelerator"
    if torch.version.cuda or torch.version.hip or torch.version.xpu:
        text = f"not found, although PyTorch is built for {_build()}; graphs run on the CPU"
        if _has_nvidia() and torch.version.cuda:
            return Finding(name, text, Health.MISSING, "install a newer driver; nvidia-smi shows the installed version")
        return Finding(name, text)
    if _has_nvidia():
        command = f"{sys.executable} -m pip install --force-reinstall torch"
        text = "not usable: this machine has an NVIDIA driver, but PyTorch is built without CUDA; graphs run on the CPU"
        return Finding(name, text, Health.MISSING, f"{_CHOOSE} {command}")
    return Finding(name, "not found; graphs run on the CPU")


def _has_nvidia() -> bool:
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


# --- threads ---


def _threads() -> Finding:
    chosen = os.environ.get("OMP_NUM_THREADS")
    text = f"OMP_NUM_THREADS is {chosen}" if chosen else "OMP_NUM_THREADS is not set"
    threads = torch.get_num_threads()
    text = f"{threads} for each inference; {text}"
    if threads > processors():
        return Finding("threads", f"{text}; more threads than cores", Health.MISSING, "export OMP_NUM_THREADS=1")
    return Finding("threads", text)


# --- compiling models ---


def _compiler() -> Iterator[Finding]:
    """The findings about the tools that torch.compile needs."""
    name = "C++ compiler"
    found = next(filter(None, map(shutil.which, _compilers())), None)
    if found is None:
        text = "not found (needed by torch.compile)"
        yield Finding(name, text, Health.MISSING, _INSTALL_COMPILER.get(sys.platform, "install g++ or clang++"))
    else:
        yield Finding(name, f"{found} (used by torch.compile)")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        text = f"{header} not found (needed by torch.compile)"
        remedy = "apt-get install python3-dev, or the equivalent for your system"
        yield Finding("Python headers", text, Health.MISSING, remedy)
    if torch.version.cuda and find_spec("triton") is None:
        command = f"{sys.executable} -m pip install triton"
        yield Finding("Triton", "not found (needed by torch.compile for CUDA)", Health.MISSING, command)


def _compilers() -> list[str]:
    chosen = os.environ.get("CXX")
    return [chosen] if chosen else ["cl"] if sys.platform == "win32" else ["g++", "clang++", "c++"]


_INSTALL_COMPILER = {
    "linux": "apt-get install g++, or the equivalent for your system",
    "darwin": "xcode-select --install",
    "win32": "winget install Microsoft.VisualStudio.2022.BuildTools",
}
