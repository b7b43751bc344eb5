"""The same list and the same write as tutorials of DRF and django-ninja have them. No sign-in, no isolation, no log."""

from __future__ import annotations

import os
import uuid
from typing import Any

import django
import orjson
import psycopg.conninfo
from django.conf import settings

_database = psycopg.conninfo.conninfo_to_dict(os.environ["BENCH_CONNINFO"])

settings.configure(
    DEBUG=False,
    SECRET_KEY="only for a benchmark " * 3,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.postgres",
        "rest_framework",
    ],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _database.get("host", ""),
            "PORT": _database.get("port", ""),
            "NAME": _database["dbname"],
            "USER": _database["user"],
            "CONN_MAX_AGE": None,
        }
    },
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
)
django.setup()

import ninja  # noqa: E402 - both want settings that are there
from django.contrib.postgres.fields import ArrayField  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.db.models.functions import Now  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import pagination, serializers, viewsets  # noqa: E402

COMPANY = uuid.UUID(os.environ["BENCH_COMPANY"])
WRITES = uuid.UUID(os.environ["BENCH_WRITES"])
NAMES: dict[str, str] = orjson.loads(os.environ["BENCH_FIELDS"])
SHOWN = list(NAMES.values())
SET_BY_THE_SYSTEM = ["id", "full_name", "version", "created_at", "updated_at"]


def _text(length: int) -> Any:
    return models.CharField(max_length=length, blank=True, default="")


class Contact(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    company_id = models.UUIDField()
    owner_id = models.UUIDField(null=True, blank=True)
    account_id = models.UUIDField(null=True, blank=True)
    salutation = _text(32)
    first_name = _text(100)
    last_name = models.CharField(max_length=100)
    full_name = models.GeneratedField(
        expression=models.F("last_name"), output_field=models.CharField(max_length=255), db_persist=True
    )
    title = _text(150)
    department = _text(100)
    email = models.EmailField(blank=True, default="")
    phone = _text(64)
    mobile = _text(64)
    lead_source = _text(24)
    lifecycle_stage = _text(24)
    birth_date = models.DateField(null=True, blank=True)
    preferred_language = _text(16)
    do_not_call = models.BooleanField(default=False)
    mailing_street = _text(255)
    mailing_city = _text(100)
    mailing_state = _text(100)
    mailing_postal_code = _text(32)
    mailing_country = _text(2)
    description = models.TextField(blank=True, default="")
    tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    version = models.IntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    # The lists' index leaves the recycle bin out.
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        managed = False
        app_label = "auth"
        db_table = os.environ["BENCH_TABLE"]

    def __str__(self) -> str:
        return self.full_name


class ContactSerializer(serializers.ModelSerializer[Contact]):
    class Meta:
        model = Contact
        fields = SHOWN
        read_only_fields = SET_BY_THE_SYSTEM


class CursorPages(pagination.CursorPagination):
    ordering = ("-created_at", "-id")
    page_size_query_param = "limit"
    max_page_size = 500


class NumberedPages(pagination.LimitOffsetPagination):
    max_limit = 500


class ContactViewSet(viewsets.ModelViewSet[Contact]):
    queryset = Contact.objects.order_by("-created_at", "-id")
    serializer_class = ContactSerializer
    pagination_class = NumberedPages

    def get_queryset(self) -> models.QuerySet[Contact]:
        return super().get_queryset().filter(company_id=COMPANY, deleted_at__isnull=True)

    def perform_create(self, serializer: serializers.BaseSerializer[Contact]) -> None:
        serializer.save(company_id=WRITES)


class CursorViewSet(ContactViewSet):
    pagination_class = CursorPages


api = ninja.NinjaAPI(docs_url=None, openapi_url=None)


class ContactOut(ninja.ModelSchema):
    class Meta:
        model = Contact
        fields = SHOWN


class ContactIn(ninja.ModelSchema):
    class Meta:
        model = Contact
        fields = [name for name in SHOWN if name not in SET_BY_THE_SYSTEM]


@api.get("/contacts/", response=list[ContactOut])
def list_contacts(request: Any, limit: int = 100) -> Any:
    listed = Contact.objects.filter(company_id=COMPANY, deleted_at__isnull=True)
    return listed.order_by("-created_at", "-id")[:limit]


@api.post("/contacts/", response=ContactOut)
def create_contact(request: Any, sent: ContactIn) -> Any:
    return Contact.objects.create(company_id=WRITES, **sent.dict())


urlpatterns = [
    path("drf/contacts/", ContactViewSet.as_view({"get": "list", "post": "create"})),
    path("drf-cursor/contacts/", CursorViewSet.as_view({"get": "list"})),
    path("ninja/", api.urls),
]

application = get_wsgi_application()
