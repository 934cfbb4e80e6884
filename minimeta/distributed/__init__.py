"""Many processes and many machines for the tasks of one step, with the bits of one process."""

from minimeta.distributed.groups import GroupSums, added_up, group_sums, joined, shares
from minimeta.distributed.jobs import Job
from minimeta.distributed.workers import Workers, workers_for

__all__ = ["GroupSums", "Job", "Workers", "added_up", "group_sums", "joined", "shares", "workers_for"]
