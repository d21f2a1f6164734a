import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # With two, the ratio would depend on what else the machine does.
    torch.set_num_threads(1)
