"""Tasks to learn to learn from: sinusoids, and few-shot classification of images such as Omniglot's characters."""

from minimeta.tasks import omniglot
from minimeta.tasks.images import FewShot
from minimeta.tasks.shuffled import Shuffled
from minimeta.tasks.sinusoid import Sinusoid
from minimeta.tasks.task import Examples, Task, TaskDistribution, unstack

__all__ = ["Examples", "FewShot", "Shuffled", "Sinusoid", "Task", "TaskDistribution", "omniglot", "unstack"]
