"""Settings of the project. What differs between machines is read from the environment."""

import os

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")

# What job_runners.Client is made with. A person waits for the answer: it gives up soon.
JOB_RUNNERS = {
    "stack": os.environ.get("JOB_RUNNERS_STACK", "job-runners"),
    "timeout": 10,
    "max_attempts": 2,
}

INSTALLED_APPS = ["exports"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "website.urls"
WSGI_APPLICATION = "website.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

TIME_ZONE = "UTC"
