"""Runs of an experiment: planned, computed, kept in one file each, and read as a table."""

from invlib.runs.runner import Report, duration, run
from invlib.runs.store import (
    ResultError,
    find,
    fingerprint,
    load,
    provenance,
    results_root,
    save,
    stored_root,
)
from invlib.runs.study import Look, Profile, Run, Study, StudyError
from invlib.runs.tables import states, status, table

__all__ = [
    "Look",
    "Profile",
    "Report",
    "ResultError",
    "Run",
    "Study",
    "StudyError",
    "duration",
    "find",
    "fingerprint",
    "load",
    "provenance",
    "results_root",
    "run",
    "save",
    "states",
    "status",
    "stored_root",
    "table",
]
