"""Which path has which pages."""

from django.urls import include, path

urlpatterns = [path("exports/", include("exports.urls"))]
