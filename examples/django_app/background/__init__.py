"""The package of jobs: job types that run the site's tasks."""

import os

from job_runners.django import django_task
from job_runners.work import Recurring

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "website.settings")

JOBS = {
    "django_task": django_task(),  # what the site enqueues
    "delete_old_texts": django_task("texts.tasks.delete_old_texts", kwargs={"days": 30}),
}
RECURRING = {
    "nightly": Recurring("delete_old_texts", cron="0 3 * * *", organization_id="default"),
}
