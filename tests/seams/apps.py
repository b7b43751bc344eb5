from django.apps import AppConfig


class SeamsConfig(AppConfig):
    name = "tests.seams"
    label = "seams"
    verbose_name = "Seams"
