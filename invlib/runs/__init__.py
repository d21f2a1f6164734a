"""Runs of an experiment: planned, computed, kept in one file each, and read as a table."""

from invlib.runs.runner import Report, duration, run
from invlib.runs.store import ResultError, find, fingerprint, load, results_root, save
from invlib.runs.study import Look, Profile, Run, Study, StudyError
from invlib.runs.tables import capped, passed, states, status, table
