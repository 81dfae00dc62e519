from django.apps import AppConfig


class QuakesConfig(AppConfig):
    name = "sources.quakes"
    verbose_name = "Earthquakes of the U.S. Geological Survey"
