"""The package of jobs of the bakery: its job types run the site's tasks."""

import os

from job_runners.django import django_task
from job_runners.work import Queue, Recurring, Retry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "website.settings")

JOBS = {
    "django_task": django_task(queues=("urgent", "emails", "now", "late", "last")),
    "django_slow": django_task(queues=("urgent", "emails"), retry=Retry(max_attempts=3, base=60)),
    "nightly": django_task("bakery.tasks.mark", args=["nightly"], kwargs={"times": 2}),
    "nightly_twice": django_task("bakery.tasks.fail", retry=Retry(max_attempts=2)),
}
QUEUES = {"urgent": Queue(slots=5), "emails": Queue(slots=1)}
RECURRING = {"nightly": Recurring("nightly", every=24 * 3600, organization_id="acme")}
