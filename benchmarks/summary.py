"""What ``make bench`` keeps: a few numbers out of pytest-benchmark's file, and their tables.

Run from the top of the repository, after pytest::

    python -m benchmarks.summary _build/bench.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from book import pages
from invlib.training import has_bf16

KEPT = (
    "work", "unit", "ours", "plain", "notebook", "ratio", "ratio_notebook", "goal", "limit",
    "rounds",
)  # fmt: skip


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """The small file out of pytest-benchmark's: no name of the machine, three digits."""
    found = [each["extra_info"] for each in report["benchmarks"]]
    kept = {
        "date": report["datetime"][:10],
        "processor": report["machine_info"]["cpu"].get("brand_raw", "unknown processor"),
        "threads": 1,
        "torch": torch.__version__,
        "bfloat16": has_bf16(torch.device("cpu")),
        "results": [{key: each[key] for key in KEPT} for each in found if "work" in each],
    }
    rounded: dict[str, Any] = _rounded(kept)
    return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    kept = summary(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    pages.SPEED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(pages.speed(), pages.speed_exact(), sep="\n\n")
