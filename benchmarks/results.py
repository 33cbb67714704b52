"""Write the reports of benchmarks, with the machine that they were measured on."""

import datetime
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from malaria_detect.core.atomic import write_text

REPORTS = Path(__file__).parent.parent / "reports"


def machine() -> dict[str, Any]:
    """Processor, number of cores, torch version and date of a measurement."""
    capabilities = torch.cpu.get_capabilities()
    return {
        "processor": capabilities.get("cpu_name") or platform.processor() or platform.machine(),
        "bfloat16": bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch": torch.__version__,
        "openvino": version("openvino"),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def write(name: str, numbers: dict[str, Any]) -> None:
    """Write a JSON report to ``reports/``; ``make report`` puts its numbers into docs/performance.md."""
    REPORTS.mkdir(exist_ok=True)
    text = json.dumps({**numbers, "machine": machine()}, indent=1) + "\n"
    write_text(REPORTS / name, text)
