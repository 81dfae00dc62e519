from django.apps import AppConfig


class SourceNameConfig(AppConfig):
    name = "sources.source_name"
