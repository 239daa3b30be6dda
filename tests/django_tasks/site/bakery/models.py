"""The tables of the bakery."""

from django.db import models


class Order(models.Model):
    """How often an order was billed."""

    billed = models.IntegerField(default=0)


class Mark(models.Model):
    """What a task has done, once for each time."""

    text = models.TextField()
