from django.apps import AppConfig


class MarketConfig(AppConfig):
    name = "bench.serve.market"
    label = "market"
