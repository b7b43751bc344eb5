"""The site: sign-in, navigation by what one does, company at the top, home, search, options of relations, recycle bin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST
from unfold.sites import UnfoldAdminSite

from core.access import view
from core.access.deleted import kinds_in_bin
from core.backoffice import (
    companies,
    emails,
    home,
    jobs,
    links,
    notifications,
    password_reset,
    passwords,
    recycle_bin,
)
from core.backoffice.entity_admin import EntityAdmin
from core.backoffice.sign_in import SignInForm, remember_sign_in
from core.backoffice.values import list_url, name_of, record_url, shown_for, slim
from core.backoffice.writing import actor_of
from core.entities import Entity, entities
from core.kernel.errors import DomainError, Forbidden, NotFound
from core.tenancy.actors import Actor

SECTIONS = ("Sales", "Work", "Reports", "Catalog", "Audit", "Setup")
# Django's pages that would read or write past views and operations.
NOT_OFFERED = frozenset({"autocomplete", "view_on_site", "password_change", "password_change_done"})
OPTIONS_SHOWN = 20
FOUND_PER_ENTITY = 5
MAX_SEARCH_LENGTH = 200
# No script in a page runs, and none from elsewhere. Alpine, which the theme is made of, compiles the expressions in its
# attributes with `Function`, and the theme writes its colors into a style element of the page: both keep a word that lets them.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Page:
    """A page that is no entity's, as the navigation shows it."""

    title: str
    url_name: str
    icon: str
    section: str
    route: str
    view: Callable[..., HttpResponse]
    position: int = 100
    shown_to: Callable[[Actor], bool] = lambda actor: True
    in_navigation: bool = True


class BackOfficeSite(UnfoldAdminSite):
    """Every entity of the registry is here: what an app does not customize is shown by a plain `EntityAdmin`."""

    login_form = SignInForm
    login_template = "backoffice/sign_in.html"
    index_title = "Home"
    enable_nav_sidebar = True
    sections = SECTIONS

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.pages: list[Page] = [
            Page("Jobs", "jobs", "pending_actions", "Setup", "jobs/", jobs.show_list, position=800),
            Page(
                "Recycle bin",
                "recycle_bin",
                "delete",
                "Setup",
                "recycle-bin/",
                recycle_bin.show,
                position=900,
                shown_to=lambda actor: bool(kinds_in_bin(actor)),
            ),
            Page(
                "Emails",
                "emails",
                "mail",
                "Setup",
                "emails/",
                emails.show_list,
                position=800,
                shown_to=emails.is_shown_to,
            ),
            Page(
                "Notifications",
                "notifications",
                "notifications",
                "Work",
                "notifications/",
                notifications.show,
                in_navigation=False,
            ),
            Page(
                "Notification settings",
                "notification_settings",
                "tune",
                "Work",
                "notifications/settings/",
                notifications.settings_page,
                in_navigation=False,
            ),
        ]

    # --- what is shown -----------------------------------------------------------------------------------------

    def add_page(self, page: Page) -> None:
        """Called by an app's `admin.py`."""
        self.pages.append(page)

    def register_remaining(self) -> None:
        """Show every entity that no app has registered, and nothing that is none (Django's groups)."""
        for model in [model for model, item in self._registry.items() if not isinstance(item, EntityAdmin)]:
            self.unregister(model)
        for entity in entities:
            if not self.is_registered(entity.model):
                self.register(entity.model, EntityAdmin)
        self.__dict__.pop("_admins", None)

    @cached_property
    def _admins(self) -> dict[str, EntityAdmin]:
        return {item.entity.name: item for item in self._registry.values() if isinstance(item, EntityAdmin)}

    def admin_for(self, entity: Entity) -> EntityAdmin | None:
        """The admin of an entity."""
        return self._admins.get(entity.name)

    # --- requests ----------------------------------------------------------------------------------------------

    def has_permission(self, request: HttpRequest) -> bool:
        # Whether they are a member of any company has been asked by the middleware.
        return bool(request.user.is_authenticated and request.user.is_active)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Django's, with the company's way of writing numbers and times, and domain errors as pages."""
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not hasattr(request, "actor"):
                return inner(request, *args, **kwargs)
            company = companies.current(request).company
            try:
                with shown_for(company.locale, company.timezone):
                    response = inner(request, *args, **kwargs)
                    if hasattr(response, "render") and not response.is_rendered:
                        response = response.render()
            except NotFound as refusal:
                raise Http404(refusal.detail) from None
            except Forbidden as refusal:
                raise PermissionDenied(refusal.detail) from None
            response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            return response

        return guarded

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
            remember_sign_in(request, response)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response

    def _public_view(self, view: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
        """A page for whoever is not signed in."""

        @wraps(view)
        def answer(request: HttpRequest) -> HttpResponse:
            response = view(request)
            response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            return response

        return answer

    def get_urls(self) -> list[Any]:
        own = [
            path("password-reset/", self._public_view(password_reset.ask), name="password_reset"),
            path("invitation/", self._public_view(links.invitation), name="invitation"),
            path("registration/", self._public_view(links.registration), name="registration"),
            path("password-reset/new/", self._public_view(password_reset.choose), name="password_reset_new"),
            path(
                "notifications/read-all/",
                self.admin_view(require_POST(notifications.read_all)),
                name="notifications_read_all",
            ),
            path(
                "notifications/<uuid:notification_id>/",
                self.admin_view(require_POST(notifications.open_one)),
                name="notification_open",
            ),
            path(
                "records/<str:entity_name>/<uuid:record_id>/",
                self.admin_view(notifications.go_to_record),
                name="go_to_record",
            ),
            path("emails/<uuid:email_id>/", self.admin_view(emails.show_one), name="email"),
            path(
                "emails/<uuid:email_id>/files/<int:number>/",
                self.admin_view(emails.download),
                name="email_file",
            ),
            path("options/<str:entity_name>/", self.admin_view(self.options), name="options"),
            path("company/", self.admin_view(require_POST(self.choose_company)), name="choose_company"),
            path("password/", self.admin_view(passwords.change_own), name="own_password"),
            path("companies/", self.admin_view(self.all_companies), name="companies"),
            path(
                "recycle-bin/restore/",
                self.admin_view(require_POST(recycle_bin.restore)),
                name="recycle_bin_restore",
            ),
        ]
        own += jobs.urls(self)
        own += [path(page.route, self.admin_view(page.view), name=page.url_name) for page in self.pages]
        return [*own, *(url for url in super().get_urls() if getattr(url, "name", None) not in NOT_OFFERED)]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if hasattr(request, "actor"):
            context["bo"] = companies.current(request)
        return context

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        # The navigation is by what one does, not by app.
        return []

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        if not hasattr(request, "actor"):
            return []
        actor = actor_of(request)
        items: dict[str, list[tuple[int, str, str, str]]] = {section: [] for section in SECTIONS}
        for item in self._admins.values():
            if item.in_navigation and item.has_view_permission(request):
                entity = item.entity
                items[item.section].append((item.position, entity.label_plural, list_url(entity), item.icon))
        for page in self.pages:
            if page.in_navigation and page.shown_to(actor):
                url = reverse(f"{self.name}:{page.url_name}")
                items[page.section].append((page.position, page.title, url, page.icon))
        home_url = reverse(f"{self.name}:index")
        groups = [("", [(0, "Home", home_url, "home")]), *items.items()]
        return [
            {
                "title": title,
                "separator": bool(title),
                "items": [
                    {
                        "title": label,
                        "link": url,
                        "icon": icon,
                        "active": request.path == url or (url != home_url and request.path.startswith(url)),
                        "has_permission": True,
                    }
                    for _, label, url, icon in sorted(inside)
                ],
            }
            for title, inside in groups
            if inside
        ]

    # --- pages -------------------------------------------------------------------------------------------------

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        context = {
            **self.each_context(request),
            **home.context_of(request),
            "title": "Home",
            **(extra_context or {}),
        }
        request.current_app = self.name
        return TemplateResponse(request, "backoffice/home.html", context)

    def options(self, request: HttpRequest, entity_name: str) -> HttpResponse:
        """Records to choose from, as the search select asks for them: those the person sees, a page at a time."""
        if entity_name not in entities:
            raise Http404
        seen = view(entity_name, actor_of(request))
        if not seen.can("read"):
            raise Http404
        page = request.GET.get("page", "1")
        start = (min(int(page), 100) - 1) * OPTIONS_SHOWN if page.isdecimal() and int(page[:9]) > 0 else 0
        term = request.GET.get("term", "")[:MAX_SEARCH_LENGTH].strip()
        records = seen.records()
        if "is_active" in seen.askable:
            records = records.filter(is_active=True)
        ordering = seen.askable[seen.default_ordering.removeprefix("-")]
        descending = seen.default_ordering.startswith("-")
        records = records.order_by(f"{'-' if descending else ''}{ordering.column}", "pk")
        if term:
            records = seen.search(records, term) if seen.searched else _named(seen, records, term)
        found = list(slim(records, seen)[start : start + OPTIONS_SHOWN + 1])
        return JsonResponse(
            {
                "results": [
                    {"id": str(item.pk), "text": name_of(seen, item)} for item in found[:OPTIONS_SHOWN]
                ],
                "pagination": {"more": len(found) > OPTIONS_SHOWN},
            }
        )

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The search box of the navigation: pages, and the best records of each kind. Never cached: rights change."""
        term = request.GET.get("s", "")[:MAX_SEARCH_LENGTH].strip()
        if not term:
            return HttpResponse()
        results = [
            {"title": item["title"], "description": "Page", "link": item["link"]}
            for group in self.get_sidebar_list(request)
            for item in group["items"]
            if term.lower() in item["title"].lower()
        ]
        for admin in sorted(self._admins.values(), key=lambda item: item.position):
            seen = admin.view_of(request)
            if not (admin.in_navigation and seen.can("read") and seen.searched):
                continue
            for record in slim(seen.search(seen.records(), term), seen)[:FOUND_PER_ENTITY]:
                results.append(
                    {
                        "title": name_of(seen, record),
                        "description": seen.entity.label,
                        "link": record_url(seen.entity, record.pk),
                    }
                )
        return TemplateResponse(request, "backoffice/search_results.html", {"results": results, "term": term})

    def choose_company(self, request: HttpRequest) -> HttpResponse:
        """Go on in another company."""
        try:
            companies.choose(request, request.POST.get("company", ""))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        target = request.POST.get("next", "")
        if not url_has_allowed_host_and_scheme(target, {request.get_host()}):
            target = reverse(f"{self.name}:index")
        return HttpResponseRedirect(target)

    @staticmethod
    def _require_staff(request: HttpRequest) -> None:
        if not request.user.is_platform_staff:  # type: ignore[union-attr]
            raise Http404

    def all_companies(self, request: HttpRequest) -> HttpResponse:
        """Every company of the installation, for the staff that runs it."""
        self._require_staff(request)
        context = {
            **self.each_context(request),
            "title": "Companies of this installation",
            "found": companies.list_all(request.GET.get("q", "")[:MAX_SEARCH_LENGTH]),
            "q": request.GET.get("q", ""),
        }
        return require_GET(lambda request: TemplateResponse(request, "backoffice/companies.html", context))(
            request
        )


def _named(seen: Any, records: Any, term: str) -> Any:
    """Records whose name holds the term, for the few kinds that have no full-text search."""
    name = seen.askable.get(seen.entity.title[0])
    if name is None or not name.type.is_text:
        return records
    return records.filter(**{f"{name.column}__icontains": term.replace("\x00", "")})
