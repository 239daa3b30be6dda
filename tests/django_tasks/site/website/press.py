"""The settings of the press, a site in Wagtail. PRESS_ON_COMMIT is a database, or nothing."""

import os

SECRET_KEY = "shared by the site and the worker"
INSTALLED_APPS = [
    "press",
    "wagtail.contrib.forms",
    "wagtail.contrib.redirects",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["PRESS_DATABASE"],
        "OPTIONS": {"timeout": 20},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "/static/"
MEDIA_ROOT = os.environ["PRESS_MEDIA"]
LOGGING_CONFIG = None
ROOT_URLCONF = "website.press_urls"
WAGTAIL_SITE_NAME = "The press"
WAGTAILADMIN_BASE_URL = "http://localhost"
WAGTAILSEARCH_BACKENDS = {"default": {"BACKEND": "wagtail.search.backends.database"}}
MODELSEARCH_BACKENDS = {"default": {"BACKEND": "modelsearch.backends.database"}}
TASKS = {
    "default": {
        "BACKEND": "job_runners.django.JobRunnersBackend",
        "OPTIONS": {
            "CLIENT": {"timeout": 60},
            # The tasks of the search aren't in an installed app.
            "MODULES": ["modelsearch.tasks"],
            "ON_COMMIT": os.environ.get("PRESS_ON_COMMIT") or None,
            "PER_TASK": {
                "wagtail.": {"MAX_ATTEMPTS": 5},
                "modelsearch.": {"MAX_ATTEMPTS": 5},
            },
        },
    }
}
