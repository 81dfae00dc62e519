from django.apps import AppConfig


class PortConfig(AppConfig):
    name = "tests.port"
    label = "port"
