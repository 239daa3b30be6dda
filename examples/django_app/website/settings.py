"""The settings of the site and of its worker."""

import os
from pathlib import Path

if "SECRET_KEY" in os.environ:
    SECRET_KEY = os.environ["SECRET_KEY"]
else:  # on the worker
    from job_runners.work import app_setting

    SECRET_KEY = app_setting("SECRET_KEY")
DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")

TASKS = {
    "default": {
        "BACKEND": "job_runners.django.JobRunnersBackend",
        "OPTIONS": {"ON_COMMIT": "default"},
    }
}

INSTALLED_APPS = ["texts", "job_runners.django"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "website.urls"
WSGI_APPLICATION = "website.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

# On your machine, the site and the worker share this file.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).parent.parent / "db.sqlite3",
    }
}
TIME_ZONE = "UTC"
