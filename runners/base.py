"""The Job Runner API for a runner's module.

`JobRunner` has the functions that the module exports, and `JobData` is the data of a job to
dispatch.
"""

from job_runners.engine.configured import JobRunner
from job_runners.engine.job_data import JobData

__all__ = ["JobData", "JobRunner"]
