from django.apps import AppConfig


class FxConfig(AppConfig):
    name = "sources.fx"
    verbose_name = "Euro reference rates of the European Central Bank"
