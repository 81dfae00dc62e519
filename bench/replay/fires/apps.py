from django.apps import AppConfig


class FiresConfig(AppConfig):
    name = "bench.replay.fires"
    label = "fires"
