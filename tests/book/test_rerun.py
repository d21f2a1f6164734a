"""What "Run it again" shows, typed as it stands there."""

import re
import zipfile

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torchvision
from PIL import Image

from book import build


@pytest.mark.filterwarnings("ignore:the plain path is taken")
def test_the_blocks_of_the_page_run_in_their_order(tmp_path, monkeypatch, capsys):
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INVLIB_DATA", str(tmp_path / "none"))
    (tmp_path / "mine").mkdir()
    for split in ("train", "test"):
        with zipfile.ZipFile(f"mine/{split}.zip", "w") as archive:
            for name, value in (("cat/1.png", 60), ("dog/1.png", 200)):
                with archive.open(name, "w") as file:
                    Image.new("RGB", (20, 20), (value, 0, 0)).save(file, "PNG")
    # No download, and the work of a moment in the place of hours.
    resnet = torchvision.models.resnet18
    monkeypatch.setattr(torchvision.models, "resnet18", lambda weights: resnet())
    text = (build.ROOT / "book" / "rerun.md").read_text(encoding="utf-8")
    quick = {r"steps=\d+": "steps=1, batch_size=2", r"first\(5\), .*": "first(1), (0, 87))",
             r"shifts=10": "shifts=1", r"images\[:20\]": "images[:1]"}  # fmt: skip
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        if "resnet" in block:
            for old, new in quick.items():
                block = re.sub(old, new, block)
        exec(compile(block, f"block {number + 1}", "exec"), names)
    assert len(blocks) == 6
    said = capsys.readouterr().out
    # What the page says of its first example: known where it was learnt, and nowhere else.
    trained, _ = re.findall(r"digits .*?\n([\d.]+) % at the trained place .*?\n(.*?) % far", said)[
        0
    ]
    assert float(trained) > 80
    assert "<ItemSet train: 2 grey items of 28 x 28 pixels, 2 classes>" in said
    table = pd.read_csv("networks.csv")
    assert table.condition.tolist() == ["mine", "a small VGG"]
    assert (table.trained > 0.8).all() and (table.far < 0.3).all()
    assert len(pd.read_csv("map.csv")) == 81 and np.asarray(Image.open("map.png")).std() > 0
