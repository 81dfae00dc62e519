from django.apps import AppConfig


class FarmConfig(AppConfig):
    name = "sources.farm"
    label = "farm"
    verbose_name = "Dapplefen farm"
