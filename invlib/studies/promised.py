"""What the file of a run of the procedure holds, beyond types and ranges, to count as whole."""

from collections.abc import Sequence
from typing import Any

from invlib.measure.maps import Values
from invlib.studies.procedure import Measurement, Settings, sound


def check(settings: Settings, rows: Sequence[Measurement]) -> None:
    """Whether a file has what the settings promise: each set, its maps and similarities.

    Raises:
        ValueError: naming what was expected and found.
    """
    kept = {row.classes for row in rows if row.last_layer == "kept"}
    both = ("kept", "fresh") if settings.both_heads else ("kept",)
    classes = {row.set: row.classes for row in rows}
    _same(
        "sets and their last layers",
        [(row.set, row.last_layer) for row in rows],
        [
            (items.name, head)
            for items in settings.sets
            for head in (both if classes.get(items.name) in kept else ("fresh",))
        ],
    )
    inside, held_out = settings.inside, {items.name: items.test for items in settings.sets}
    for row in rows:
        check_map(row.map, settings)
        _same(f"held out of {row.set}", row.map_held_out is not None, bool(held_out[row.set]))
        if row.map_held_out is not None:
            check_map(row.map_held_out, settings)
        last = row.attempts[-1] if row.attempts else None
        found = (last and last.control, last and last.failed)
        _same(f"the last attempt on {row.set}", found, (row.control, row.failed))
        # One that diverged answers nothing.
        for measured, training in ((row.before, row.pretraining), (row.after, last)):
            layers = inside.layers if inside and sound(training) else None
            _same("layers", measured and tuple(each.layer for each in measured), layers)
            for each in measured or ():
                shape = (len(each.displacements),)
                for curve in (each.mean, each.std, each.baseline, each.baseline_std):
                    _same("displacements", curve.shape, shape)
                    if (abs(curve) > 1 + 1e-4).any():
                        raise ValueError("expected cosine similarities from -1 to 1")


def check_map(values: Values, settings: Settings) -> None:
    """Whether these are accuracies at the places of the grid.

    Raises:
        ValueError: when they are not.
    """
    _same("a map", values.shape, (len(settings.grid),) * 2)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("expected accuracies from 0 to 1 in a map")


def _same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise ValueError(f"{what}: expected {expected}, found {found}")
