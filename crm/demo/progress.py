"""How the demo's open leads, deals and tasks move on, as relations for the CRM's operations."""

from __future__ import annotations

from crm.demo.chance import HERE, ID, array, draw
from crm.demo.records import Relation
from crm.demo.words import NEXT_STEPS

_ORD = "(row_number() OVER (ORDER BY t.id) - 1)::int AS ord"
_MINE = (
    "t.company_id = here.company AND t.owner_id = here.me AND t.deleted_at IS NULL AND t.created_at < here.at"
)
# Each time is a new draw.
_LEAD_KEY = (
    "t.email || t.company_name || t.last_name || extract(epoch FROM here.at - t.created_at)::bigint / 86400"
)
_DEAL_KEY = "t.name || t.amount || extract(epoch FROM here.at - t.created_at)::bigint / 86400"
_TASK_KEY = "t.subject || extract(epoch FROM here.at - t.created_at)::bigint / 86400"

_STATUS = """CASE t.status
  WHEN 'new' THEN CASE WHEN chance.n < 62 THEN 'contacted' WHEN chance.n < 72 THEN 'unqualified' END
  WHEN 'contacted' THEN CASE WHEN chance.n < 10 THEN 'qualified' WHEN chance.n < 26 THEN 'unqualified'
    WHEN chance.n < 40 THEN 'nurturing' END
  WHEN 'nurturing' THEN CASE WHEN chance.n < 6 THEN 'contacted' WHEN chance.n < 14 THEN 'recycled' END
  WHEN 'qualified' THEN CASE WHEN chance.n < 6 THEN 'unqualified' END
END"""
LEADS = Relation(
    f"WITH {HERE} SELECT {_ORD}, t.id, step.status, CASE step.status WHEN 'unqualified' THEN reasons.ids["
    f"1 + {draw('cardinality(reasons.ids)', 'lead reason', _LEAD_KEY)}] END AS disqualified_reason_id "
    'FROM here CROSS JOIN LATERAL (SELECT array_agg(x.id ORDER BY x."order") AS ids FROM crm_lostreason x '
    "WHERE x.company_id = here.company AND x.applies_to = 'lead') reasons "
    f"JOIN crm_lead t ON {_MINE} AND t.created_at > here.at - interval '240 days' "
    "AND t.status IN ('new', 'contacted', 'nurturing', 'qualified') "
    f"CROSS JOIN LATERAL (SELECT {draw(100, 'lead', _LEAD_KEY)} AS n) chance "
    f"CROSS JOIN LATERAL (SELECT {_STATUS} AS status) step WHERE step.status IS NOT NULL",
    ("status", "disqualified_reason_id"),
)

# The qualified leads that become customers now, with ids for the account, contact and deal of each.
CONVERTING = (
    f"WITH {HERE} SELECT t.id, {ID}, {ID}, {ID} "
    f"FROM here JOIN crm_lead t ON {_MINE} AND t.status = 'qualified' AND t.qualified_at < here.at "
    f"WHERE {draw(100, 'conversion', _LEAD_KEY)} < 45 ORDER BY t.created_at, t.email, t.id"
)

# Out of a hundred: how many move on, and how many are lost, by the probability of their stage.
_ADVANCE = "CASE WHEN s.probability < 20 THEN 55 WHEN s.probability < 50 THEN 50 ELSE 45 END"
_LOSE = "CASE WHEN s.probability < 50 THEN 15 ELSE 10 END"
_TARGET = f"""CASE WHEN chance.n < {_ADVANCE} THEN (
    SELECT x.id FROM crm_pipelinestage x WHERE x.company_id = here.company AND x.pipeline_id = t.pipeline_id
    AND x.is_active AND x.stage_type <> 'lost' AND x."order" > s."order" ORDER BY x."order" LIMIT 1)
  WHEN chance.n >= 100 - {_LOSE} THEN (
    SELECT x.id FROM crm_pipelinestage x WHERE x.company_id = here.company AND x.pipeline_id = t.pipeline_id
    AND x.is_active AND x.stage_type = 'lost' ORDER BY x."order" LIMIT 1) END"""
_COLUMNS = {
    "stage_id": "coalesce(target.id, t.stage_id)",
    "lost_reason_id": "CASE WHEN g.stage_type = 'lost' THEN reasons.ids["
    f"1 + {draw('cardinality(reasons.ids)', 'deal reason', _DEAL_KEY)}] END",
    "close_date": "CASE WHEN g.stage_type <> 'open' THEN here.at::date WHEN t.close_date < here.at::date "
    f"THEN here.at::date + 14 + {draw(50, 'pushed', _DEAL_KEY)} ELSE t.close_date END",
    "next_step": f"CASE WHEN g.stage_type <> 'open' THEN '' ELSE {array(NEXT_STEPS)}["
    f"1 + {draw(len(NEXT_STEPS), 'next step', _DEAL_KEY)}] END",
    "next_step_date": "CASE WHEN g.stage_type = 'open' THEN here.at::date + 2 + "
    f"{draw(20, 'next step on', _DEAL_KEY)} END",
}
DEALS = Relation(
    f"WITH {HERE} SELECT {_ORD}, t.id, {', '.join(f'{sql} AS {name}' for name, sql in _COLUMNS.items())} "
    'FROM here CROSS JOIN LATERAL (SELECT array_agg(x.id ORDER BY x."order") AS ids FROM crm_lostreason x '
    "WHERE x.company_id = here.company AND x.applies_to = 'deal') reasons "
    f"JOIN crm_deal t ON {_MINE} AND t.status = 'open' "
    "JOIN crm_pipelinestage s ON s.company_id = here.company AND s.id = t.stage_id AND s.stage_type = 'open' "
    f"CROSS JOIN LATERAL (SELECT {draw(100, 'deal', _DEAL_KEY)} AS n) chance "
    f"CROSS JOIN LATERAL (SELECT {_TARGET} AS id) target "
    "LEFT JOIN crm_pipelinestage g ON g.company_id = here.company AND g.id = coalesce(target.id, t.stage_id) "
    "WHERE target.id IS NOT NULL OR t.close_date < here.at::date",
    tuple(_COLUMNS),
)

TASKS = Relation(
    f"WITH {HERE} SELECT {_ORD}, t.id, CASE WHEN {draw(12, 'how it ended', _TASK_KEY)} = 0 THEN 'canceled' ELSE 'completed' END "
    f"AS status FROM here JOIN crm_task t ON {_MINE} AND t.status NOT IN ('completed', 'canceled') "
    f"WHERE t.due_date < here.at::date AND {draw(10, 'done', _TASK_KEY)} < 8",
    ("status",),
)

_ADDRESS = ("street", "city", "state", "postal_code", "country")
_FROM = (
    "FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[]) WITH ORDINALITY "
    "AS made(lead, account, contact, deal, place) JOIN crm_lead t ON t.id = made.lead"
)


def _made(id_: str, columns: dict[str, str]) -> Relation:
    listed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    return Relation(f"SELECT (made.place - 1)::int AS ord, {id_} AS id, {listed} {_FROM}", tuple(columns))


_SAME = {name: f"t.{name}" for name in ("owner_id", "tags", "territory_id", "territory_pinned")}
# What converted leads become. Parameters: the ids of the leads, of their accounts, contacts and deals, in one order.
CONVERTED_ACCOUNTS = _made(
    "made.account",
    {
        **_SAME,
        "name": "t.company_name",
        "type": "'customer'",
        "industry": "t.industry",
        "website": "t.website",
        "phone": "t.phone",
        "number_of_employees": "t.number_of_employees",
        "source": "t.source",
        **{f"billing_{part}": f"t.{part}" for part in _ADDRESS},
    },
)
CONVERTED_CONTACTS = _made(
    "made.contact",
    {
        **_SAME,
        "account_id": "made.account",
        **{
            name: f"t.{name}" for name in ("salutation", "first_name", "last_name", "title", "email", "phone")
        },
        "lead_source": "t.source",
        "lifecycle_stage": "'opportunity'",
        "do_not_call": "t.do_not_call",
        "email_opt_out": "t.email_opt_out",
        **{f"mailing_{part}": f"t.{part}" for part in _ADDRESS},
    },
)
CONVERTED_DEALS = _made(
    "made.deal",
    {
        **_SAME,
        "name": "t.company_name || ' - first order'",
        "account_id": "made.account",
        "primary_contact_id": "made.contact",
        "lead_id": "t.id",
        "amount": "coalesce(t.estimated_value, 0)",
        "source": "t.source",
        "close_date": "(t.qualified_at + interval '100 days')::date",
    },
)
CONVERTED_LEADS = _made(
    "made.lead",
    {
        "status": "'converted'",
        "converted_at": "%s::timestamptz",
        "converted_by_id": "t.owner_id",
        "converted_account_id": "made.account",
        "converted_contact_id": "made.contact",
        "converted_deal_id": "made.deal",
    },
)
