from django.apps import AppConfig


class HistoriesConfig(AppConfig):
    name = "bench.replay.histories"
    label = "histories"
