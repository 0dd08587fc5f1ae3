"""doctor: what this machine can do, measured, and what Yanmo will therefore choose; it changes nothing."""

import importlib.util
import os
import re
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import Field

from yanmo.artifacts.identity import library_versions
from yanmo.config import Config
from yanmo.errors import MissingExtraError
from yanmo.machine import describe_machine, has_compiler, instruction_sets
from yanmo.runtimes.engines import installed_engines
from yanmo.runtimes.engines.choice import is_sound
from yanmo.runtimes.predictor import default_num_threads
from yanmo.verbs.signature import verb

__all__ = ["DoctorConfig", "Findings", "doctor"]

# As the metadata writes them: torch>=2.9; extra == 'train'.
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+).*extra\s*==\s*['\"](?P<extra>[\w-]+)['\"]")
FASTER = 1.2
EIGHT_BIT_SETS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


class DoctorConfig(Config):
    """How thorough the measuring is."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to measure with; by default one for each CPU that this process may use."""

    seconds: float = Field(default=1.0, ge=0)
    """How long each plain product is tried."""


@dataclass(frozen=True)
class Findings:
    """What was found out.

    Attributes:
        machine: Processor, cores, memory, disk, graphics processor, instruction sets.
        rates: One row a precision: engine and billions of operations a second.
        choices: One row a setting that Yanmo chooses by itself: what, and why.
        extras: One row an extra: whether it is installed, and what it lacks.
        versions: Of the libraries that compute.
    """

    machine: dict[str, Any]
    rates: list[dict[str, Any]]
    choices: list[dict[str, str]]
    extras: list[dict[str, str]]
    versions: dict[str, str]

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints and the screen's tables show."""
        lists = {"rates": self.rates, "choices": self.choices, "extras": self.extras}
        return {**self.machine, "versions": self.versions, **lists}


@verb
def doctor(config: DoctorConfig) -> Findings:
    """Tell what this machine can do, and what Yanmo will therefore choose.

    Args:
        config: How thorough the measuring is.
    """
    num_threads = config.num_threads or default_num_threads()
    rates = [*_torch_rates(num_threads, config.seconds), *_engine_rates(num_threads, config.seconds)]
    machine = {**describe_machine(), "instruction_sets": ", ".join(instruction_sets()) or None}
    machine |= {"free_disk_gib": round(shutil.disk_usage(Path.cwd()).free / 2**30, 1), "gpu": _gpu()}
    return Findings(machine, rates, _choices(rates, num_threads), _extras(), library_versions())


def _torch_rates(num_threads: int, seconds: float) -> list[dict[str, Any]]:
    # Looked for without loading it, which takes seconds.
    if importlib.util.find_spec("torch") is None:
        return []
    from yanmo.modeling.arithmetic.determinism import default_device
    from yanmo.modeling.arithmetic.precision import product_rate

    # Each once: the default may be the CPU itself.
    devices = dict.fromkeys(("cpu", default_device()))
    return [
        _rate("torch", device, precision, product_rate(precision, device, num_threads=num_threads, seconds=seconds))
        for device in devices
        for precision in ("fp32", "bf16")
    ]


def _engine_rates(num_threads: int, seconds: float) -> list[dict[str, Any]]:
    try:
        from yanmo.exporting.products import measure_peak
    except MissingExtraError:
        return []
    return [
        _rate("onnxruntime", "cpu", precision, measure_peak(precision, num_threads, seconds=seconds))
        for precision in ("fp32", "int8")
    ]


def _rate(engine: str, device: str, precision: str, operations: float) -> dict[str, Any]:
    return {"engine": engine, "device": device, "precision": precision, "gflops": round(operations / 1e9, 1)}


def _gpu() -> str | None:
    if importlib.util.find_spec("torch") is None:
        return None
    from yanmo.modeling.arithmetic.determinism import describe_gpu

    return describe_gpu()


def _choices(rates: list[dict[str, Any]], num_threads: int) -> list[dict[str, str]]:
    wanted = os.environ.get("OMP_NUM_THREADS")
    why = f"OMP_NUM_THREADS is {wanted}" if wanted else "the CPUs that this process may use"
    found = [{"choice": "threads", "chosen": str(num_threads), "because": why}]
    if any(one["engine"] == "torch" for one in rates):
        found += _training_choices(rates)
    engines = [name for name in installed_engines() if is_sound(name)]
    why = "the fastest is measured for each Bundle" if len(engines) > 1 else "the only engine that is installed"
    found.append({"choice": "--runtime auto", "chosen": " or ".join(engines), "because": why})
    gain = _gain(rates, "onnxruntime", "cpu", "int8")
    sets = [name for name in instruction_sets() if name in EIGHT_BIT_SETS]
    if gain is not None:
        why = f"a product in int8 is {gain:.1f} times as fast as in fp32; {', '.join(sets) or 'no 8-bit products'}"
        found.append({"choice": "quantize", "chosen": "pays" if gain >= FASTER else "saves space only", "because": why})
    return found


def _training_choices(rates: list[dict[str, Any]]) -> list[dict[str, str]]:
    from yanmo.modeling.arithmetic.compiling import LEAST_RUN_SECONDS
    from yanmo.modeling.arithmetic.determinism import default_device
    from yanmo.modeling.arithmetic.precision import LEAST_GAIN, has_bf16

    device = default_device()
    why = "torch finds a graphics processor" if device != "cpu" else "torch finds no graphics processor"
    found = [{"choice": "device of training", "chosen": device, "because": why}]
    # Nothing measured counts as no gain.
    gain = _gain(rates, "torch", device, "bf16") or 0.0
    if not has_bf16(device):
        chosen, why = "fp32", "the processor has no bf16 products"
    elif gain < LEAST_GAIN:
        chosen, why = "fp32", f"a product in bf16 is only {gain:.1f} times as fast"
    else:
        chosen, why = (
            "bf16 if the probe agrees",
            f"a product is {gain:.1f} times as fast; a step must be {LEAST_GAIN} times",
        )
    found.append({"choice": "precision of training", "chosen": chosen, "because": why})
    chosen, why = "never", "there is no C++ compiler"
    if has_compiler():
        chosen = "if the probe agrees"
        why = f"there is a C++ compiler; a run must take {LEAST_RUN_SECONDS / 60:.0f} minutes"
    return [*found, {"choice": "--compile auto", "chosen": chosen, "because": why}]


def _gain(rates: list[dict[str, Any]], engine: str, device: str, precision: str) -> float | None:
    """Return how many times as fast as in fp32 a product is."""
    found = {one["precision"]: one["gflops"] for one in rates if (one["engine"], one["device"]) == (engine, device)}
    return found[precision] / found["fp32"] if precision in found and found.get("fp32") else None


def _extras() -> list[dict[str, str]]:
    """Return every extra of this install with what it lacks."""
    wanted: dict[str, list[str]] = {}
    for line in metadata.requires("yanmo") or ():
        if match := REQUIREMENT.fullmatch(line):
            wanted.setdefault(match["extra"], []).append(match["name"])
    return [_extra(name, packages) for name, packages in sorted(wanted.items())]


def _extra(name: str, packages: list[str]) -> dict[str, str]:
    missing = [package for package in packages if not _is_installed(package)]
    state = "no" if len(missing) == len(packages) else "partly" if missing else "yes"
    return {"extra": name, "installed": state, "missing": ", ".join(missing) or "–"}


def _is_installed(package: str) -> bool:
    try:
        # By the name of the distribution, from which that of the module often differs.
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
