"""Jobs of a queue with a rate for each text: tests put others into it by name."""

from job_runners.work import Job, Queue, Rate
from sample_work import Sample, once

JOBS = {"rated": Job(once, queue_name="rated")}
QUEUES = {"rated": Queue(rate=Rate(5), per="text")}
__all__ = ["JOBS", "QUEUES", "Sample"]
