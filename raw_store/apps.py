from django.apps import AppConfig


class RawStoreConfig(AppConfig):
    name = "raw_store"
