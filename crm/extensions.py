"""What the CRM plugs into the floors below."""

from core.identity.operations.companies import COMPANY_STARTERS
from crm.operations.defaults import seed_company_defaults

COMPANY_STARTERS.register("crm", seed_company_defaults)
