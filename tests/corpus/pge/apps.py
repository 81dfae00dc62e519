from django.apps import AppConfig


class PgeConfig(AppConfig):
    name = "tests.corpus.pge"
    verbose_name = "Power outages of Pacific Gas and Electric"
