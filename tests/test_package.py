"""What ``import invlib`` gives, and what it leaves to be imported when it is asked for."""

import subprocess
import sys

import pytest

import invlib


def test_the_names_that_readers_use_are_there():
    for name in (
        "augmentation.RandomResizedCrop", "chapter.measurements", "claims.verdicts", "models.vgg",
        "plots.heatmaps", "results.table", "runner.run", "studies.study_of", *invlib.__all__,
    ):  # fmt: skip
        found = invlib
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found), name
    with pytest.raises(AttributeError, match="module 'invlib' has no attribute 'trainer'"):
        _ = invlib.trainer


def test_who_only_measures_does_not_wait_for_tables_figures_and_torchvision():
    code = "import sys, invlib; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" in done.stdout.split()
    assert not {"pandas", "matplotlib", "torchvision", "IPython"} & set(done.stdout.split())


@pytest.mark.parametrize("code", ["import invlib, torchvision", "import torchvision, invlib"])
def test_torchvision_is_imported_before_and_after(code):
    code += "; print(torchvision.models.squeezenet1_1(num_classes=3).classifier[1].weight.shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "torch.Size([3, 512, 1, 1])\n", "")
