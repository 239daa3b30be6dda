"""Dispatch a job for each line of standard input: dispatcher.py NOTES.

A line may have a job type and the seconds that the job takes. The program prints the time before
the dispatch, and the job's id.
"""

import sys
import time

from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData
from work_unit import JOB_TYPE

runner = get_job_runner()
for line in sys.stdin:
    job_type, seconds = (*line.split(), JOB_TYPE, "0")[:2] if line.strip() else (JOB_TYPE, "0")
    payload = {"name": "job", "notes": sys.argv[1], "seconds": float(seconds)}
    began = time.time()
    row = runner.dispatch_job(JobData(job_type=job_type, payload=payload))
    print(began, row.id, flush=True)
