"""An outbox in Django's database: add "django_outbox" to INSTALLED_APPS, and migrate."""
