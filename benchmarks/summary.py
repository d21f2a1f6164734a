"""What ``make bench`` keeps: a few numbers out of pytest-benchmark's files, and their tables.

Run from the top of the repository, after pytest::

    python -m benchmarks.summary _build/bench-*.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from book import pages
from invlib.devices import has_bf16

KEPT = (
    "work", "unit", "ours", "plain", "notebook", "ratio", "ratio_notebook", "goal", "limit",
    "rounds", "between",
)  # fmt: skip


def summary(*reports: dict[str, Any]) -> dict[str, Any]:
    """The small file out of pytest-benchmark's: no name of the machine, three digits.

    Of each work the process with the middle ratio is kept, and ``between`` which two all ratios
    are: how a process happens to get its memory, and what else the machine does for minutes,
    changes a ratio more than the rounds in it differ.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for each in (each for report in reports for each in report["benchmarks"]):
        if "work" in (row := each["extra_info"]):
            found.setdefault(row["work"], []).append(row)
    results = []
    for rows in found.values():
        rows.sort(key=pages.compared)
        row = rows[len(rows) // 2] | {"between": [pages.compared(rows[i]) for i in (0, -1)]}
        results.append({key: row[key] for key in KEPT})
    last = reports[-1]
    kept = {
        "date": last["datetime"][:10],
        "processor": last["machine_info"]["cpu"].get("brand_raw", "unknown processor"),
        "threads": 1,
        "processes": len(reports),
        "torch": torch.__version__,
        "bfloat16": has_bf16(torch.device("cpu")),
        "results": results,
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
    kept = summary(*(json.loads(Path(file).read_text(encoding="utf-8")) for file in sys.argv[1:]))
    pages.SPEED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(pages.speed(), pages.speed_exact(), sep="\n\n")
