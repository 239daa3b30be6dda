"""Retry the jobs that one bug has failed, in many organizations. If it stops, run it again.

Select one kind of error: jobs that failed as Interrupted or TimedOut may have had side effects.
"""

import time

from job_runners import Client, Conflict, NotFound, OutcomeUnknown

ORGANIZATIONS = ["acme", "globex"]  # from your product, or from the log
FAILED = ("import_orders", "KeyError")  # the job type, and the kind of error
RATE = 5  # jobs a second

client = Client(stack="STACK", organization_id=ORGANIZATIONS[0])
for organization in ORGANIZATIONS:
    retried = 0
    for group in client.error_groups(organization_id=organization):
        if (group.job_type, group.error_kind) != FAILED:
            continue
        for job in list(client.list(error_group=group.id, organization_id=organization)):
            try:
                client.retry(job.id)
                retried += 1
            except (NotFound, Conflict, OutcomeUnknown) as error:
                print(organization, job.id, error)  # deleted or already retried, for example
            time.sleep(1 / RATE)
    print(organization, retried)
