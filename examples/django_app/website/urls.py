"""The paths of the pages."""

from django.urls import include, path

urlpatterns = [path("exports/", include("exports.urls"))]
