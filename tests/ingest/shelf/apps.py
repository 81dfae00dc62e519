from django.apps import AppConfig


class ShelfConfig(AppConfig):
    name = "tests.ingest.shelf"
    label = "shelf"
