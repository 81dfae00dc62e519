from django.apps import AppConfig


class ToursConfig(AppConfig):
    name = "tests.tours"
    label = "tours"
