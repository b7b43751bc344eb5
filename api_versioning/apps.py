from django.apps import AppConfig


class ApiVersioningConfig(AppConfig):
    name = "api_versioning"
    verbose_name = "API versions"
