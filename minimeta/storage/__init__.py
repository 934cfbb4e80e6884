"""What training leaves behind: the folder of a run, what it holds, and files of parameters."""

from minimeta.storage.run_folder import RunFolder

__all__ = ["RunFolder"]
