"""Every write of companies, people, roles, sessions and keys."""

from core.identity.operations.api_keys import (
    MAX_OVERLAP,
    NewApiKey,
    create_api_key,
    revoke_api_keys,
    rotate_api_key,
    update_api_keys,
)
from core.identity.operations.companies import (
    COMPANY_SETTINGS,
    COMPANY_STARTERS,
    CompanySetting,
    FoundedCompany,
    create_company,
    get_company_setting,
    register_company,
    update_company,
)
from core.identity.operations.member_passwords import set_member_password
from core.identity.operations.members import create_users, deactivate_users, update_own_profile, update_users
from core.identity.operations.roles import create_roles, delete_roles, update_roles
from core.identity.operations.sessions import (
    SignedInSession,
    change_password,
    check_credentials,
    open_session,
    record_refusal,
    refresh,
    sign_in,
    sign_out,
    switch_company,
)

__all__ = [
    "COMPANY_SETTINGS",
    "COMPANY_STARTERS",
    "MAX_OVERLAP",
    "CompanySetting",
    "FoundedCompany",
    "NewApiKey",
    "SignedInSession",
    "change_password",
    "check_credentials",
    "create_api_key",
    "create_company",
    "create_roles",
    "create_users",
    "deactivate_users",
    "delete_roles",
    "get_company_setting",
    "open_session",
    "record_refusal",
    "refresh",
    "register_company",
    "revoke_api_keys",
    "rotate_api_key",
    "set_member_password",
    "sign_in",
    "sign_out",
    "switch_company",
    "update_api_keys",
    "update_company",
    "update_own_profile",
    "update_roles",
    "update_users",
]
