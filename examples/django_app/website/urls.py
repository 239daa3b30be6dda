"""The paths of the pages."""

from django.urls import include, path

urlpatterns = [path("texts/", include("texts.urls"))]
