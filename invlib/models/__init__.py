"""The book's networks, by table, and pretrained weights."""

from invlib.models.heads import head_name, replace_head
from invlib.models.initialisation import TORCHVISION, Initialisation, initialise
from invlib.models.small import PADDINGS, small
from invlib.models.squeezenet import squeezenet
from invlib.models.tracking import TRACKING, TrackingTable, tracking
from invlib.models.vgg import VGG, VGGS, VGGTable, vgg
from invlib.models.weights import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    WEIGHTS,
    Weights,
    WeightsError,
    download_weights,
    find_weights,
    load_pretrained,
    weights_folders,
)
