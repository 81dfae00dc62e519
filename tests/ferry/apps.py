from django.apps import AppConfig


class FerryConfig(AppConfig):
    name = "tests.ferry"
    label = "ferry"
