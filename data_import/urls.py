"""Routes of this app."""

from core.rest.routing import EntityRouter

urlpatterns: list[object] = []


def routes(router: EntityRouter) -> None:
    """Add this app's viewsets."""
