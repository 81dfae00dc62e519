"""Addresses of the program: the API's own, at the root."""

from django.urls import include, path

urlpatterns = [path("", include("api.urls"))]
