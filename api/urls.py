"""Addresses of the API."""

from django.urls import path

from .views.files import static_file
from .views.graphql import graphql
from .views.held import held_page
from .views.log_in import LogIn
from .views.payload import payload_body
from .views.site import front_page, healthz
from .views.sql import sql

urlpatterns = [
    path("", front_page, name="front-page"),
    path("graphql", graphql, name="graphql"),
    path("healthz", healthz, name="healthz"),
    path("held", held_page, name="held"),
    path("login", LogIn.as_view(), name="log-in"),
    path("payload/<uuid:fetch_id>/body", payload_body, name="payload-body"),
    path("sql", sql, name="sql"),
    path("static/api/<path:name>", static_file, name="static-file"),
]
