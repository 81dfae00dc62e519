from django.apps import AppConfig


class GardenConfig(AppConfig):
    name = "tests.api.garden"
    label = "garden"
