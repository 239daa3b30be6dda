"""The pages about exports."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.start_export, name="start_export"),
    path("<slug:export_id>/", views.show_export, name="show_export"),
]
