"""What the module of a runner has to know.

`JobRunner` describes the functions that the module must export. `JobData` is a job to dispatch.
"""

from job_runners.engine.configured import JobRunner
from job_runners.engine.job_data import JobData

__all__ = ["JobData", "JobRunner"]
