"""One body is a list of tours."""

from reshape import transform

from .models import Tour


@transform("tours.list")
def transform_list(payload):
    for tour in payload.json():
        yield Tour.row(**tour)
