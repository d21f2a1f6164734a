"""What ``make bench`` keeps: a few numbers out of pytest-benchmark's files, and their tables.

Run from the top of the repository, after pytest::

    python -m benchmarks.summary _build/bench-*.json
"""

import json
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from book import pages
from invlib.training import has_bf16

KEPT = (
    "work", "unit", "ours", "plain", "notebook", "ratio", "ratio_notebook", "goal", "limit",
    "rounds",
)  # fmt: skip


def summary(*reports: dict[str, Any]) -> dict[str, Any]:
    """The small file out of pytest-benchmark's: no name of the machine, three digits.

    Of each work the process with the middle ratio is kept: how a process happens to get its memory,
    and what else the machine does for minutes, changes a ratio more than the rounds in it differ.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for each in chain.from_iterable(report["benchmarks"] for report in reports):
        row = each["extra_info"]
        if "work" in row:
            found.setdefault(row["work"], []).append({key: row[key] for key in KEPT})
    last = reports[-1]
    kept = {
        "date": last["datetime"][:10],
        "processor": last["machine_info"]["cpu"].get("brand_raw", "unknown processor"),
        "threads": 1,
        "processes": len(reports),
        "torch": torch.__version__,
        "bfloat16": has_bf16(torch.device("cpu")),
        "results": [sorted(rows, key=_better)[len(rows) // 2] for rows in found.values()],
    }
    rounded: dict[str, Any] = _rounded(kept)
    return rounded


def _better(row: dict[str, Any]) -> float:
    """What the middle is taken of."""
    better: float = row["ratio"] or row["ratio_notebook"] or row["ours"]
    return better


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    kept = summary(*(json.loads(Path(file).read_text(encoding="utf-8")) for file in sys.argv[1:]))
    pages.SPEED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(pages.speed(), pages.speed_exact(), sep="\n\n")
