"""The name of a dated page, which says the hardware."""

import os
from datetime import date
from pathlib import Path

__all__ = ["page_path"]


def page_path(theme: str) -> Path:
    """Return the path of today's page of a theme for this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].split() for line in lines if line.startswith("model name")), ["unknown"])
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    best = next((flag for flag in ("amx_int8", "avx512_vnni", "avx512f", "avx2") if flag in flags), "")
    hardware = "-".join(
        part
        for part in (model[min(1, len(model) - 1)].lower().removesuffix("(r)"), f"{os.cpu_count()}cores", best)
        if part
    )
    return Path(__file__).parent / f"{theme}_{hardware.replace('_', '')}_{date.today():%Y%m}.md"
