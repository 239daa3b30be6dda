"""The pages about texts."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.add_text, name="add_text"),
    path("<uuid:text_id>/", views.show_text, name="show_text"),
]
