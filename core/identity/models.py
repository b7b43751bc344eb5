"""Companies and people. `Company`, `User`, `AuthSession` and `Registration` are not rows of one company; everything else is."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower, Now

from core.kernel.ids import uuid7
from core.tenancy.fields import CompanyField, PersonField, TenantForeignKey
from core.tenancy.models import CompanyIsolatedModel, ScopedManager


class Company(models.Model):
    """A customer of this installation: the border no row crosses."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=255)
    slug = models.SlugField(max_length=64, unique=True)
    timezone = models.CharField(max_length=64, default="UTC")
    locale = models.CharField(max_length=16, default="en-US")
    default_currency = models.CharField(max_length=3, default="USD")
    fiscal_year_start_month = models.PositiveSmallIntegerField(default=1)
    is_active = models.BooleanField(default=True)
    settings = models.JSONField(default=dict, blank=True)
    # Grows with every change of roles, members or settings that decide rights; cached rights carry it.
    rights_version = models.BigIntegerField(default=1, editable=False)
    # New with every change of what the company's gates demand; see `core.changes.gates`.
    gates_version = models.UUIDField(null=True, editable=False)
    version = models.IntegerField(default=1, editable=False)
    created_at = models.DateTimeField(editable=False, db_default=Now())
    updated_at = models.DateTimeField(editable=False, db_default=Now())

    class Meta:
        verbose_name_plural = "companies"
        constraints: ClassVar = [
            models.CheckConstraint(
                name="company_fiscal_month", condition=models.Q(fiscal_year_start_month__range=(1, 12))
            ),
        ]

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser):
    """A person, in one or more companies. The e-mail address is the login and is kept in lower case."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    first_name = models.CharField(max_length=150, blank=True, default="")
    last_name = models.CharField(max_length=150, blank=True, default="")
    is_active = models.BooleanField(default=True)
    # When the person last chose the password by a link mailed to the address. Null: somebody else may know the password,
    # which therefore opens no further company.
    proven_at = models.DateTimeField(null=True, editable=False)
    # Runs the installation: may enter any company's back office, and each entry is logged.
    is_platform_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(editable=False, db_default=Now())

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="user_email_lower_case", condition=models.Q(email=Lower("email"))),
        ]

    def __str__(self) -> str:
        return self.get_full_name() or self.email

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def is_staff(self) -> bool:
        """Whether the back office opens at all; what it shows is decided by the membership's role."""
        return self.is_active

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        # The back office asks `core.rest`-style rights instead; Django's own permissions are not used.
        return self.is_active

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active


class Role(CompanyIsolatedModel):
    """What members may do: permissions are words `verb`, `verb:entity`, `manage_users` or `*`."""

    class RecordScope(models.TextChoices):
        OWN = "own", "Own records"
        TEAM = "team", "Own and those of the people below"
        TERRITORY = "territory", "Own and those of the territories"
        ALL = "all", "All records"

    name = models.CharField(max_length=64)
    permissions = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    record_scope = models.CharField(
        max_length=16, choices=RecordScope, default=RecordScope.OWN, db_default=RecordScope.OWN
    )
    # One of the four every company starts with: may be edited, not removed.
    is_builtin = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint("company", Lower("name"), name="role_name_unique"),
            models.CheckConstraint(
                name="role_record_scope",
                condition=models.Q(record_scope__in=["own", "team", "territory", "all"]),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(CompanyIsolatedModel):
    """A person's place in a company: role, and manager for teams. Never deleted, only made inactive."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = TenantForeignKey(Role, related_name="memberships")
    manager = TenantForeignKey("self", null=True, blank=True, related_name="reports")
    is_active = models.BooleanField(default=True, db_default=True)
    # The last sign-in to this company; those to others are none of its business.
    last_login = models.DateTimeField(null=True, editable=False)

    unlogged_columns = CompanyIsolatedModel.unlogged_columns | {"last_login"}

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "user"], name="membership_unique"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "manager"], name="membership_manager"),
            models.Index(fields=["company", "role"], name="membership_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.company_id}"


def _digest(**options: Any) -> models.BinaryField[Any, Any]:
    """The SHA-256 of a token that was mailed."""
    return models.BinaryField(max_length=32, null=True, editable=False, **options)


class Invitation(CompanyIsolatedModel):
    """A place in the company, offered to whoever reads the mail of an address. Nothing here says whether the address is
    known.

    Of a new person the id becomes that of their account, so that it stays the same when they accept.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        ACCEPTED = "accepted"
        REVOKED = "revoked"

    email = models.EmailField(max_length=254)
    first_name = models.CharField(max_length=150, blank=True, default="")
    last_name = models.CharField(max_length=150, blank=True, default="")
    role = TenantForeignKey(Role, related_name="+")
    manager = TenantForeignKey(Membership, null=True, blank=True, related_name="+")
    state = models.CharField(max_length=16, choices=State, default=State.PENDING, db_default=State.PENDING)
    expires_at = models.DateTimeField()
    token_digest = _digest()
    # Whether the link left by mail. One that only the sandbox shows proves nothing.
    is_mailed = models.BooleanField(default=False, db_default=False, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)

    unlogged_columns = CompanyIsolatedModel.unlogged_columns | {"token_digest", "is_mailed", "sent_at"}

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "email"],
                condition=models.Q(state="pending"),
                name="invitation_pending_unique",
            ),
            # Looked up before any company is known: random, it tells nothing.
            models.UniqueConstraint(fields=["token_digest"], name="invitation_token_unique"),
            models.CheckConstraint(
                name="invitation_state", condition=models.Q(state__in=["pending", "accepted", "revoked"])
            ),
        ]

    def __str__(self) -> str:
        return self.email


class Registration(models.Model):
    """A company that is founded as soon as the reader of an address's mail confirms it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(max_length=254)
    company_name = models.CharField(max_length=255)
    # Empty: made from the name.
    slug = models.CharField(max_length=64, blank=True, default="")
    first_name = models.CharField(max_length=150, blank=True, default="")
    last_name = models.CharField(max_length=150, blank=True, default="")
    token_digest = _digest(unique=True)
    is_mailed = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="registration_expiry")]

    def __str__(self) -> str:
        return str(self.id)


class Person(models.Model):
    """A member of a company, or somebody invited, as the rest of the product sees one: a read-only view.

    `id` is the user's, or the invitation's. A person who is in two companies is a row in each.
    """

    class State(models.TextChoices):
        ACTIVE = "active"
        INACTIVE = "inactive"
        INVITED = "invited"

    id = models.UUIDField(primary_key=True)
    company = CompanyField(on_delete=models.DO_NOTHING)
    membership_id = models.UUIDField()
    email = models.EmailField()
    first_name = models.CharField(max_length=150, blank=True)
    last_name = models.CharField(max_length=150, blank=True)
    full_name = models.CharField(max_length=301)
    role = TenantForeignKey(Role, on_delete=models.DO_NOTHING, related_name="+")
    manager = PersonField(null=True, on_delete=models.DO_NOTHING)
    is_active = models.BooleanField(default=True)
    # Of this company only.
    last_login = models.DateTimeField(null=True)
    state = models.CharField(max_length=16, choices=State)
    # When the invitation ends; null for members.
    invited_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    created_by = PersonField(null=True, on_delete=models.DO_NOTHING)
    updated_by = PersonField(null=True, on_delete=models.DO_NOTHING)
    version = models.IntegerField()

    objects: ClassVar[Any] = ScopedManager()

    class Meta:
        managed = False
        db_table = "core_person"
        base_manager_name = "objects"
        verbose_name = "user"

    def __str__(self) -> str:
        return self.full_name or self.email


class ApiKey(CompanyIsolatedModel):
    """A machine's way in. The secret is shown once; only its SHA-256 is kept (it is random, so no slow hash is needed)."""

    name = models.CharField(max_length=100)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_keys")
    prefix = models.CharField(max_length=16, editable=False)
    secret_hash = models.BinaryField(max_length=32, editable=False)
    scopes = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    unlogged_columns = CompanyIsolatedModel.unlogged_columns | {"last_used_at", "secret_hash"}

    class Meta(CompanyIsolatedModel.Meta):
        verbose_name = "API key"
        constraints: ClassVar = [
            # Looked up before any company is known, so unique in the whole installation: random, it tells nothing.
            models.UniqueConstraint(fields=["prefix"], name="api_key_prefix_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"


class AuthSession(models.Model):
    """One sign-in and all tokens that came of it (a refresh-token family).

    Every access token names its session, which is read on each request: ending it ends them all at once.
    `refresh_serial` is the only serial number a refresh token may carry now; an older one is a replay.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="auth_sessions")
    company = models.ForeignKey(Company, on_delete=models.CASCADE, related_name="+")
    refresh_serial = models.IntegerField(default=1)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    refreshed_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=32, blank=True, default="")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["user", "revoked_at"], name="auth_session_user"),
            models.Index(fields=["expires_at"], name="auth_session_expiry"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class LoginThrottle(models.Model):
    """Failed sign-ins of one account, address or device: the next try counts only after `blocked_until`."""

    # "account:<email>", "address:<ip or /64>", "device:<id>" and others of `operations.throttle`.
    key = models.CharField(max_length=300, primary_key=True)
    failures = models.IntegerField(default=0)
    blocked_until = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [models.Index(fields=["updated_at"], name="login_throttle_age")]

    def __str__(self) -> str:
        return self.key
