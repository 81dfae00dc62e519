from django.apps import AppConfig


class TickerConfig(AppConfig):
    name = "tests.ingest.ticker"
    label = "ticker"
