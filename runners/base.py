"""The types for a custom runner.

`JobRunner` describes the functions that the runner's module must export. `JobData` is a job to
dispatch.
"""

from job_runners.engine.configured import JobRunner
from job_runners.engine.job_data import JobData

__all__ = ["JobData", "JobRunner"]
