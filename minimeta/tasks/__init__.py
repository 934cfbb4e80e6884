"""Tasks for meta-learning: sinusoids, and few-shot classification of images from files or of made-up characters."""

from minimeta.tasks import image_files, image_splits, omniglot, strokes
from minimeta.tasks.image_lists import load_split
from minimeta.tasks.images import FewShot, Split, with_rotations
from minimeta.tasks.shuffled import Shuffled
from minimeta.tasks.sinusoid import Sinusoid
from minimeta.tasks.task import Examples, Task, TaskDistribution, unstack

__all__ = [
    "Examples",
    "FewShot",
    "Shuffled",
    "Sinusoid",
    "Split",
    "Task",
    "TaskDistribution",
    "image_files",
    "image_splits",
    "load_split",
    "omniglot",
    "strokes",
    "unstack",
    "with_rotations",
]
