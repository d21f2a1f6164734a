"""The sizes at which the experiments of Biscione & Bowers 2020 are done.

Each is the settings of a network that starts from random weights and is taught at one place; a
study changes what it is about. The small one was found by trial, then frozen, see the calibration
page.
"""

from dataclasses import replace

from invlib.data.canvas import Canvas, paper_grid
from invlib.runs import Look
from invlib.studies.procedure import Control, Inside, Items, Settings
from invlib.training import Recipe

SETS = {
    "emnist_letters": Look("EMNIST"),
    "fashion_mnist": Look("Fashion-MNIST", 1),
    "kmnist": Look("KMNIST", 2),
    "mnist": Look("MNIST", 3),
    "objects10": Look("objects10", 4),
    "objects2": Look("objects2", 5),
}
"""The sets, from complex to simple (sec. 2.1)."""

OBJECTS = (
    Items("objects10", test=None, per_class=None),
    Items("objects2", test=None, per_class=None),
)
SMALL_SETS = (
    Items("emnist_letters", classes=12, train="test", test="test"),
    Items("fashion_mnist"),
    Items("kmnist", train="test", test="test"),
    Items("mnist"),
    *OBJECTS,
)

# Before and after the ReLU in front of the last layer, the layer of the paper's similarities.
INSIDE = Inside(layers=("classifier.3", "classifier.4"), per_class=20)

SMOKE = Settings(
    network="smoke", canvas=16, item=6, channels=1, grid=(0, 3, 5, 7, 10), std=0.3, shown=8,
    sets=(Items("glyphs", test="test", classes=4, per_class=20, held_out=5), OBJECTS[1]),
    recipe=Recipe(steps=100, batch_size=8, learning_rate=0.005, target_accuracy=0.9, window=5),
    control=Control(least=0.0), both_heads=True, inside=INSIDE,
)  # fmt: skip
SMOKE_TRANSLATED = replace(SMOKE.recipe, steps=150, hold=5)
BENCH = Settings(
    network="bench", canvas=64, item=16, channels=1, grid=Canvas(64, 16).test_grid(19), std=0.3,
    sets=SMALL_SETS,
    recipe=Recipe(
        steps=1500, batch_size=64, learning_rate=0.001, warmup=100, target_accuracy=0.95, window=50
    ),
    both_heads=True, inside=INSIDE,
)  # fmt: skip
TRANSLATED = replace(BENCH.recipe, steps=2500, target_accuracy=0.99, hold=300)
"""How a set is learnt fully translated at the small scale."""
TAUGHT = replace(BENCH.recipe, warmup=0)
"""How a pretrained network is taught at the small scale."""
BENCH_NEEDS = "the real sets in the data root"

PAPER = Settings(
    network="vgg16", canvas=224, item=50, channels=3, grid=paper_grid(),
    sets=tuple(
        Items(name, test="test", per_class=None, held_out=52)
        for name in ("emnist_letters", "fashion_mnist", "kmnist", "mnist")
    ) + OBJECTS,
    recipe=Recipe(
        steps=5000, batch_size=32, learning_rate=0.001, target_accuracy=0.95, window=5, hold=200,
        precision="bfloat16",
    ),
    control=Control(least=0.9), shown=520, pixels="per set",
)  # fmt: skip
