from django.apps import AppConfig


class CalfireConfig(AppConfig):
    name = "tests.corpus.calfire"
    verbose_name = "Wildfires of California"
