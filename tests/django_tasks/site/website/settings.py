"""The settings of the bakery's site and of its worker."""

import os

SECRET_KEY = "shared by the site and the worker"
SECRET_KEY_FALLBACKS = ["the key before this one"]
INSTALLED_APPS = ["bakery", "job_runners.django"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["BAKERY_DATABASE"],
        "OPTIONS": {"timeout": 20},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LANGUAGE_CODE = "en"
LOGGING = {  # a worker keeps its own log
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"own": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["own"]},
}

_BACKEND = "job_runners.django.JobRunnersBackend"
_CLIENT = {"timeout": 60}
TASKS = {
    "default": {
        "BACKEND": _BACKEND,
        "QUEUES": ["default", "mail"],
        "OPTIONS": {
            "CLIENT": _CLIENT,
            "QUEUE_NAMES": {"mail": "emails"},
            "PRIORITY_QUEUES": {10: "urgent"},
            "PER_TASK": {"bakery.tasks.slow": {"JOB_TYPE": "django_slow", "MAX_ATTEMPTS": 2}},
        },
    },
    "commit": {"BACKEND": _BACKEND, "OPTIONS": {"CLIENT": _CLIENT, "ON_COMMIT": "default"}},
    "unsigned": {"BACKEND": _BACKEND, "OPTIONS": {"CLIENT": _CLIENT, "SIGN": False}},
    "acme": {"BACKEND": _BACKEND, "OPTIONS": {"CLIENT": _CLIENT, "ORGANIZATION_ID": "acme"}},
    "immediate": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"},
}
