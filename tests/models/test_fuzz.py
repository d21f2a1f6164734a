"""Files of weights with anything in them: loaded whole, or refused by name and nothing loaded."""

import io
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from invlib.devices import seeded
from invlib.models import WeightsError, load_pretrained


def small():
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(2, 2))


def files():
    """Weights of a small network by format; of the last one only the pickle inside is damaged."""
    with seeded(0):
        state = small().state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return {"safetensors": save(state), "pth": buffer.getvalue(), "pickle": buffer.getvalue()}


edits = st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=4), st.integers(0, 4)))
"""Each puts bytes in the place of so many others."""


@pytest.mark.parametrize("kind", ["safetensors", "pth", "pickle"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each writes its file
@given(edits=edits, cut=st.none() | st.integers(0, 3000))
def test_whatever_is_in_a_file_of_weights_is_loaded_or_named(tmp_path, kind, edits, cut):
    data = whole = files()[kind]
    if kind == "pickle":
        archive = zipfile.ZipFile(io.BytesIO(whole))
        members = {name: archive.read(name) for name in archive.namelist()}
        (pickled,) = (name for name in members if name.endswith("data.pkl"))
        data = members[pickled]
    for at, new, old in edits:
        at %= len(data) + 1
        data = data[:at] + new + data[at + old :]
    data = data[:cut]
    if kind == "pickle":
        damaged = io.BytesIO()
        with zipfile.ZipFile(damaged, "w") as archive:
            for name, content in (members | {pickled: data}).items():
                archive.writestr(name, content)
        data = damaged.getvalue()
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    path.write_bytes(data)
    model = small()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    message = ""
    try:
        load_pretrained(model, path)
    except WeightsError as error:
        message = str(error)
    for name, tensor in model.state_dict().items():
        assert tensor.isfinite().all() and tensor.shape == before[name].shape
        assert not message or (str(path) in message and torch.equal(tensor, before[name]))
