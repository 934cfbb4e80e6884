"""What training leaves behind: the folder of a run, what it holds, and files of parameters."""

from minimeta.storage.run_folder import RunFolder
from minimeta.storage.trees import load_tree, save

__all__ = ["RunFolder", "load_tree", "save"]
