"""The change log's tables, and the triggers that write it: generated for each company table from its model.

Statement-level triggers with transition tables, so that bulk work pays per statement. The update trigger compares column
by column, which measured about ten times cheaper than comparing whole rows as JSON.
"""

from __future__ import annotations

import hashlib
from datetime import date

from django.db import models
from django.db.backends.utils import CursorWrapper

from core.entities.registry import entity_of_model
from core.tenancy.context import context_keys
from core.tenancy.guard import company_models
from core.tenancy.postgresql.base import APP_ROLE, PLATFORM_ROLE

MONTHS_AHEAD = 3
BOOKKEEPING = frozenset({"version", "updated_at", "updated_by_id"})
# What the triggers say of rows; nobody else may.
ROW_ACTIONS = ("create", "update", "delete", "restore", "purge")

TABLES = """
CREATE TABLE IF NOT EXISTS core_changecontext (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id uuid, at timestamptz NOT NULL DEFAULT now(),
  actor_id uuid, impersonator_id uuid, api_key_id uuid, session_id uuid,
  source text NOT NULL, ip inet, user_agent text NOT NULL DEFAULT '', correlation_id text NOT NULL DEFAULT '',
  reason text NOT NULL DEFAULT '', cause bigint
);
-- Added later: how many causes lie behind; the transaction, so that no other one can use the row.
ALTER TABLE core_changecontext ADD COLUMN IF NOT EXISTS depth smallint NOT NULL DEFAULT 0;
ALTER TABLE core_changecontext ADD COLUMN IF NOT EXISTS xid bigint NOT NULL DEFAULT 0;
-- What contexts are signed with. Nobody but the owner, and so the functions below, may read it.
CREATE TABLE IF NOT EXISTS core_contextkey (key bytea PRIMARY KEY);
CREATE INDEX IF NOT EXISTS changecontext_actor ON core_changecontext (company_id, actor_id, id);
CREATE INDEX IF NOT EXISTS changecontext_correlation ON core_changecontext (company_id, correlation_id);
CREATE TABLE IF NOT EXISTS core_changelog (
  id bigint GENERATED ALWAYS AS IDENTITY,
  company_id uuid, at timestamptz NOT NULL DEFAULT now(), xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
  action text NOT NULL, entity_type text NOT NULL, entity_id uuid, entity_name text,
  old_values jsonb, new_values jsonb, changed_fields text[], context_id bigint, description text,
  is_sensitive boolean NOT NULL DEFAULT false, requires_review boolean NOT NULL DEFAULT false
) PARTITION BY RANGE (at);
CREATE TABLE IF NOT EXISTS core_changelog_default PARTITION OF core_changelog DEFAULT;
-- The stream's order; one record's history; a company's newest; what one transaction did; then time and id, which grow
-- with the table (a few pages each).
CREATE INDEX IF NOT EXISTS changelog_stream ON core_changelog (xid, id);
CREATE INDEX IF NOT EXISTS changelog_record ON core_changelog (entity_id);
CREATE INDEX IF NOT EXISTS changelog_company ON core_changelog (company_id, id);
CREATE INDEX IF NOT EXISTS changelog_context ON core_changelog (context_id);
CREATE INDEX IF NOT EXISTS changelog_at ON core_changelog USING brin (at);
CREATE INDEX IF NOT EXISTS changelog_id ON core_changelog USING brin (id);
"""

FUNCTIONS = """
-- Whether the context was signed by the application for the company that is bound (`core.tenancy.context`).
CREATE OR REPLACE FUNCTION app_context_is_genuine() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM core_contextkey k WHERE left(g.given, 64) = encode(
    sha256(k.key || sha256(k.key || convert_to(g.company || substr(g.given, 65), 'UTF8'))), 'hex'))
  FROM (SELECT coalesce(current_setting('app.context', true), '') AS given,
    coalesce(current_setting('app.company_id', true), '') AS company) g
$$;

-- The context row of this transaction, made at its first change. Only the functions below and the triggers may call it;
-- they run as the owner and set the search path. Of a context that is not genuine nothing is kept.
CREATE OR REPLACE FUNCTION app_context(company uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  bound text := current_setting('app.context_id', true);
  facts jsonb := '{}';
  made bigint;
BEGIN
  IF bound <> '' THEN
    -- Anybody can set it, so it counts only where it leads to a row of this transaction.
    SELECT id INTO made FROM core_changecontext WHERE id = bound::bigint AND xid = pg_current_xact_id()::text::bigint;
    IF FOUND THEN RETURN made; END IF;
  END IF;
  IF app_context_is_genuine() THEN facts := substr(current_setting('app.context'), 65)::jsonb; END IF;
  INSERT INTO core_changecontext (company_id, actor_id, impersonator_id, api_key_id, session_id, source, ip, user_agent,
    correlation_id, reason, cause, depth, xid)
  VALUES (company, (facts->>'actor_id')::uuid, (facts->>'impersonator_id')::uuid, (facts->>'api_key_id')::uuid,
    (facts->>'session_id')::uuid, coalesce(facts->>'source', 'sql'), (facts->>'ip')::inet,
    coalesce(facts->>'user_agent', ''), coalesce(facts->>'correlation_id', ''), coalesce(facts->>'reason', ''),
    (facts->>'cause')::bigint, coalesce((facts->>'depth')::smallint, 0), pg_current_xact_id()::text::bigint)
  RETURNING id INTO made;
  bound := set_config('app.context_id', made::text, true);
  RETURN made;
END $$;

-- Facts that are no row's change: sign-ins, exports, refused access. The application's only way to add to the log.
CREATE OR REPLACE FUNCTION app_record_fact(company uuid, action text, entity_type text, entity_id uuid, entity_name text,
  details jsonb, description text, is_sensitive boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE made bigint;
BEGIN
  IF company IS DISTINCT FROM app_company() AND (app_company() IS NOT NULL OR current_setting('role') = '{APP_ROLE}') THEN
    RAISE EXCEPTION 'a fact belongs to the company in context' USING ERRCODE = '42501';
  END IF;
  IF action = ANY('{ROW_ACTIONS}') AND entity_type = ANY('{LOGGED}') THEN
    RAISE EXCEPTION 'changes of rows are logged by their triggers alone' USING ERRCODE = '42501';
  END IF;
  INSERT INTO core_changelog (company_id, action, entity_type, entity_id, entity_name, new_values, description,
    is_sensitive, context_id)
  VALUES (company, action, entity_type, entity_id, entity_name, details, description, is_sensitive, app_context(company))
  RETURNING id INTO made;
  RETURN made;
END $$;
"""

# The platform's role may have partitions made, and cannot alter the log in any other way.
MAKE_PARTITIONS = f"""
CREATE OR REPLACE FUNCTION app_make_log_partitions(today date, months integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE edge date := date_trunc('month', today)::date; part text;
BEGIN
  FOR _ IN 1..least(months, 24) LOOP
    part := 'core_changelog_' || to_char(edge, 'YYYY_MM');
    IF to_regclass(part) IS NULL THEN
      EXECUTE format('CREATE TABLE %I PARTITION OF core_changelog FOR VALUES FROM (%L) TO (%L)',
        part, edge, (edge + interval '1 month')::date);
    END IF;
    edge := (edge + interval '1 month')::date;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION app_make_log_partitions(date, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app_make_log_partitions(date, integer) TO {PLATFORM_ROLE};
"""

# How young an entry may be, and still be removed: no policy of a company asks for less.
LEAST_KEPT_DAYS = 30
# Retention's only ways to take anything out of the log. Young entries stay whoever asks; whoever asks writes down what went.
RETENTION = f"""
CREATE OR REPLACE FUNCTION app_remove_log_entries(company uuid, ids bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE contexts bigint[]; removed bigint;
BEGIN
  WITH gone AS (
    DELETE FROM core_changelog WHERE company_id = company AND id = ANY(ids)
      AND at < now() - interval '{LEAST_KEPT_DAYS} days' RETURNING context_id)
  SELECT count(*), array_agg(DISTINCT context_id) INTO removed, contexts FROM gone;
  DELETE FROM core_changecontext c WHERE c.id = ANY(contexts)
    AND NOT EXISTS (SELECT FROM core_changelog l WHERE l.context_id = c.id);
  RETURN removed;
END $$;
REVOKE ALL ON FUNCTION app_remove_log_entries(uuid, bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app_remove_log_entries(uuid, bigint[]) TO {PLATFORM_ROLE};

-- Months of which nothing is left. Gives up soon where somebody reads the log for long.
CREATE OR REPLACE FUNCTION app_drop_empty_log_partitions(today date) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '3s' AS $$
DECLARE part text; is_used boolean;
BEGIN
  FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'core_changelog'::regclass AND c.relname ~ '^core_changelog_[0-9]{{4}}_[0-9]{{2}}$'
      AND to_date(right(c.relname, 7), 'YYYY_MM') < date_trunc('month', today) - interval '{LEAST_KEPT_DAYS} days'
    ORDER BY 1
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', part) INTO is_used;
    IF NOT is_used THEN
      EXECUTE format('DROP TABLE %I', part);
      RETURN NEXT part;
    END IF;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION app_drop_empty_log_partitions(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app_drop_empty_log_partitions(date) TO {PLATFORM_ROLE};
"""

PROTECTION = f"""
DO $$ DECLARE part regclass; BEGIN
  FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'core_changelog'::regclass LOOP
    EXECUTE format('REVOKE ALL ON %s FROM {APP_ROLE}, {PLATFORM_ROLE}', part);
  END LOOP;
END $$;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON core_changelog, core_changecontext FROM {APP_ROLE}, {PLATFORM_ROLE};
GRANT SELECT ON core_changelog, core_changecontext TO {APP_ROLE};
REVOKE ALL ON core_contextkey FROM {APP_ROLE}, {PLATFORM_ROLE};
REVOKE ALL ON FUNCTION app_context(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION app_context_is_genuine() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app_context_is_genuine() TO {APP_ROLE};
REVOKE ALL ON FUNCTION app_record_fact(uuid, text, text, uuid, text, jsonb, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app_record_fact(uuid, text, text, uuid, text, jsonb, text, boolean) TO {APP_ROLE};
"""


def create_log(cursor: CursorWrapper, today: date) -> None:
    """Tables, functions and rights of the change log. Idempotent; expects the owner's rights."""
    cursor.execute(TABLES)
    cursor.execute("DELETE FROM core_contextkey WHERE NOT key = ANY(%s)", [list(context_keys())])
    for key in context_keys():
        cursor.execute("INSERT INTO core_contextkey VALUES (%s) ON CONFLICT DO NOTHING", [key])
    logged = sorted(entity_type_of(model) for model in company_models() if model.logged)  # type: ignore[attr-defined]
    cursor.execute(
        FUNCTIONS.replace("{APP_ROLE}", APP_ROLE)
        .replace("{ROW_ACTIONS}", "{" + ",".join(ROW_ACTIONS) + "}")
        .replace("{LOGGED}", "{" + ",".join(logged) + "}")
    )
    for table in ("core_changelog", "core_changecontext"):
        cursor.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        for policy, role, condition in (
            ("company", APP_ROLE, "company_id = (SELECT app_company())"),
            ("platform", PLATFORM_ROLE, "true"),
            # The definer's functions write for any company.
            ("writer", "CURRENT_USER", "true"),
        ):
            cursor.execute(f'DROP POLICY IF EXISTS {policy} ON "{table}"')
            cursor.execute(f'CREATE POLICY {policy} ON "{table}" TO {role} USING ({condition})')
    cursor.execute(MAKE_PARTITIONS)
    cursor.execute(RETENTION)
    ensure_partitions(cursor, today)
    cursor.execute(PROTECTION)


def ensure_partitions(cursor: CursorWrapper, today: date) -> None:
    """This month's and the next months' partitions. Expects the rights of the owner or the platform's role."""
    cursor.execute("SELECT app_make_log_partitions(%s, %s)", [today, MONTHS_AHEAD])


def install_triggers(cursor: CursorWrapper) -> None:
    """Bring each company table's triggers up to its model. Expects the owner's rights."""
    cursor.execute(
        "SELECT proname, obj_description(oid, 'pg_proc') FROM pg_proc WHERE proname LIKE 'app\\_log\\_%%'"
    )
    present = dict(cursor.fetchall())
    for model in company_models():
        if not model.logged:  # type: ignore[attr-defined]
            continue
        function = _function_name(model)
        body = trigger_sql(model)
        digest = hashlib.sha256(body.encode()).hexdigest()
        if present.get(function) != digest:
            cursor.execute(body.replace("%", "%%") if "%" in body else body)
            cursor.execute(f"COMMENT ON FUNCTION {function}() IS '{digest}'")


def _function_name(model: type[models.Model]) -> str:
    return f"app_log_{model._meta.db_table}"


def entity_type_of(model: type[models.Model]) -> str:
    """The name under which the log knows a model's rows."""
    entity = entity_of_model(model)
    return entity.name if entity else str(model._meta.model_name)


def trigger_sql(model: type[models.Model]) -> str:
    """The function and the three triggers of one table."""
    table, function, kind = model._meta.db_table, _function_name(model), entity_type_of(model)
    skipped = model.unlogged_columns | {"id", "company_id", "created_at", "created_by_id"}  # type: ignore[attr-defined]
    columns = [
        (str(column.column), column.name)
        for column in model._meta.concrete_fields
        if column.column not in skipped and not isinstance(column, models.GeneratedField)
    ]
    differs = 'o."{0}" IS DISTINCT FROM n."{0}"'
    names = ", ".join(f"CASE WHEN {differs.format(column)} THEN '{name}' END" for column, name in columns)

    def document(alias: str, columns: list[tuple[str, str]]) -> str:
        parts = ", ".join(
            f"CASE WHEN {differs.format(column)} THEN '\"{name}\":' || "
            f"coalesce(to_json({alias}.\"{column}\")::text, 'null') END"
            for column, name in columns
        )
        return f"('{{' || concat_ws(',', {parts}) || '}}')::jsonb"

    soft = any(column == "deleted_at" for column, _ in columns)
    action = (
        "CASE WHEN o.deleted_at IS NULL AND n.deleted_at IS NOT NULL THEN 'delete' "
        "WHEN o.deleted_at IS NOT NULL AND n.deleted_at IS NULL THEN 'restore' ELSE 'update' END"
        if soft
        else "'update'"
    )
    gone = "'purge'" if soft else "'delete'"
    changed = " OR ".join(differs.format(column) for column, _ in columns) or "false"
    # Bookkeeping goes along with a change and is not told. Changed alone, it is somebody's doing.
    kept = [
        (str(column.column), column.name)
        for column in model._meta.concrete_fields
        if column.column in BOOKKEEPING and column.column not in dict(columns)
    ]
    other = [
        differs.format(column.column)
        for column in model._meta.concrete_fields
        if column.column in model.unlogged_columns - BOOKKEEPING  # type: ignore[attr-defined]
    ]
    names, old, new = f"ARRAY[{names}]::text[]", document("o", columns), document("n", columns)
    if kept:
        alone = " OR ".join(differs.format(column) for column, _ in kept)
        alone = f"({alone})" + "".join(f" AND NOT ({test})" for test in other)
        kept_names = ", ".join(
            f"CASE WHEN {differs.format(column)} THEN '{name}' END" for column, name in kept
        )
        names = f"CASE WHEN {changed} THEN {names} ELSE ARRAY[{kept_names}]::text[] END"
        old = f"CASE WHEN {changed} THEN {old} ELSE {document('o', kept)} END"
        new = f"CASE WHEN {changed} THEN {new} ELSE {document('n', kept)} END"
        changed = f"{changed} OR {alone}"
    return f"""
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
-- A plan made for one row would join 20,000 rows row by row.
SET enable_nestloop = off AS $$
BEGIN
  -- The context is asked for once, and only when there is something to log.
  IF TG_OP = 'INSERT' THEN
    INSERT INTO core_changelog (company_id, action, entity_type, entity_id, context_id)
    SELECT company_id, 'create', '{kind}', id, (SELECT app_context(company_id) FROM new_rows LIMIT 1) FROM new_rows;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO core_changelog (company_id, action, entity_type, entity_id, changed_fields, old_values, new_values, context_id)
    SELECT n.company_id, {action}, '{kind}', n.id, array_remove({names}, NULL),
      {old}, {new}, (SELECT app_context(company_id) FROM new_rows LIMIT 1)
    FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE {changed};
  ELSE
    INSERT INTO core_changelog (company_id, action, entity_type, entity_id, old_values, context_id)
    SELECT company_id, {gone}, '{kind}', id, to_jsonb(o), (SELECT app_context(company_id) FROM old_rows LIMIT 1)
    FROM old_rows o;
  END IF;
  RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS log_insert ON "{table}";
CREATE TRIGGER log_insert AFTER INSERT ON "{table}" REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION {function}();
DROP TRIGGER IF EXISTS log_update ON "{table}";
CREATE TRIGGER log_update AFTER UPDATE ON "{table}" REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION {function}();
DROP TRIGGER IF EXISTS log_delete ON "{table}";
CREATE TRIGGER log_delete AFTER DELETE ON "{table}" REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION {function}();
"""
