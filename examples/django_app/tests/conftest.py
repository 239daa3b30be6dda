"""Set Django up, and let the tests change the database."""

import os

import background  # noqa: F401 - names the settings
import django

os.environ.setdefault("SECRET_KEY", "of the tests")
django.setup()
