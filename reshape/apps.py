from django.apps import AppConfig


class ReshapeConfig(AppConfig):
    name = "reshape"
