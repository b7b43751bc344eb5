"""The database keeps the tree: slugs, paths and levels, whoever writes."""

from django.db import migrations

FUNCTIONS = r"""
-- A name as a word of a path: accents, spaces and signs go, letters of every script stay.
CREATE FUNCTION territories_slug(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT btrim(regexp_replace(lower(regexp_replace(normalize(name, NFKD), '[\u0300-\u036f]', '', 'g')),
    '[\s\u0021-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007e]+', '-', 'g'), '-')
$$;

-- Before a row is written: its slug, and path and level by its parent. One company's tree is written by one transaction at
-- a time, so what is read here holds until the end.
CREATE FUNCTION territories_place() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wanted text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(NEW.company_id::text || ':territory tree', 0));
  wanted := CASE
    WHEN NEW.slug <> '' AND (TG_OP = 'INSERT' OR NEW.slug <> OLD.slug) THEN territories_slug(NEW.slug)
    WHEN TG_OP = 'UPDATE' AND NEW.slug <> '' AND NEW.name = OLD.name THEN NEW.slug
    ELSE territories_slug(NEW.name) END;
  IF wanted = '' THEN wanted := coalesce(nullif(territories_slug(NEW.code), ''), NEW.id::text); END IF;
  -- Of two siblings of one name the second has its code beside it.
  IF EXISTS (SELECT FROM territories_territory x WHERE x.company_id = NEW.company_id AND x.id <> NEW.id
      AND x.parent_territory_id IS NOT DISTINCT FROM NEW.parent_territory_id AND x.slug = wanted) THEN
    wanted := left(wanted, 230) || '-' || coalesce(nullif(territories_slug(NEW.code), ''), NEW.id::text);
  END IF;
  NEW.slug := left(wanted, 300);
  NEW.hierarchy_path := '/' || NEW.slug || '/';
  NEW.hierarchy_level := 0;
  IF NEW.parent_territory_id IS NOT NULL THEN
    SELECT p.hierarchy_path || NEW.slug || '/', p.hierarchy_level + 1 INTO NEW.hierarchy_path, NEW.hierarchy_level
    FROM territories_territory p WHERE p.company_id = NEW.company_id AND p.id = NEW.parent_territory_id;
    -- The reference is judged at the end of the statement.
    IF NOT FOUND THEN NEW.hierarchy_path := '/' || NEW.slug || '/'; NEW.hierarchy_level := 0; END IF;
  END IF;
  RETURN NEW;
END $$;

-- Paths and levels of the given territories and of all below them, by their parents. A fixed number of statements.
CREATE FUNCTION territories_settle(company uuid, given uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    WITH RECURSIVE up AS (
      SELECT t.id AS start, t.parent_territory_id AS id FROM territories_territory t
      WHERE t.company_id = company AND t.id = ANY(given) AND t.parent_territory_id IS NOT NULL
      UNION SELECT up.start, t.parent_territory_id FROM territories_territory t JOIN up ON t.id = up.id
      WHERE t.company_id = company AND t.parent_territory_id IS NOT NULL
    ) SELECT FROM up WHERE up.id = up.start
  ) THEN
    RAISE EXCEPTION 'a territory cannot be above itself' USING ERRCODE = '23514', CONSTRAINT = 'territory_no_cycle';
  END IF;
  WITH RECURSIVE up AS (
    SELECT t.id AS start, t.parent_territory_id AS id FROM territories_territory t
    WHERE t.company_id = company AND t.id = ANY(given) AND t.parent_territory_id IS NOT NULL
    UNION SELECT up.start, t.parent_territory_id FROM territories_territory t JOIN up ON t.id = up.id
    WHERE t.company_id = company AND t.parent_territory_id IS NOT NULL
  ), tree AS (
    -- The topmost of the given: above them nothing changes.
    SELECT t.id, coalesce(p.hierarchy_path, '/') || t.slug || '/' AS path, coalesce(p.hierarchy_level + 1, 0) AS level
    FROM territories_territory t
    LEFT JOIN territories_territory p ON p.company_id = t.company_id AND p.id = t.parent_territory_id
    WHERE t.company_id = company AND t.id = ANY(given)
      AND NOT EXISTS (SELECT FROM up WHERE up.start = t.id AND up.id = ANY(given))
    UNION ALL
    SELECT t.id, tree.path || t.slug || '/', tree.level + 1
    FROM territories_territory t JOIN tree ON t.parent_territory_id = tree.id WHERE t.company_id = company
  )
  UPDATE territories_territory t SET hierarchy_path = tree.path, hierarchy_level = tree.level
  FROM tree WHERE t.company_id = company AND t.id = tree.id
    AND (t.hierarchy_path, t.hierarchy_level) IS DISTINCT FROM (tree.path, tree.level);
END $$;

CREATE FUNCTION territories_rebuild(company uuid, one uuid) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(company::text || ':territory tree', 0));
  PERFORM territories_settle(company, ARRAY[one]);
  RETURN (SELECT t.hierarchy_path FROM territories_territory t WHERE t.company_id = company AND t.id = one);
END $$;

CREATE FUNCTION territories_after_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE each record;
BEGIN
  -- Parents and children that came in one statement, in whatever order.
  FOR each IN SELECT n.company_id, array_agg(n.id) AS ids FROM new_rows n
    WHERE n.parent_territory_id IS NOT NULL GROUP BY n.company_id LOOP
    PERFORM territories_settle(each.company_id, each.ids);
  END LOOP;
  RETURN NULL;
END $$;

CREATE FUNCTION territories_after_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE each record;
BEGIN
  -- The update of paths itself changes neither, and so ends here.
  FOR each IN SELECT n.company_id, array_agg(n.id) AS ids FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE (n.parent_territory_id, n.slug) IS DISTINCT FROM (o.parent_territory_id, o.slug) GROUP BY n.company_id LOOP
    PERFORM territories_settle(each.company_id, each.ids);
  END LOOP;
  RETURN NULL;
END $$;

CREATE TRIGGER territories_1_place BEFORE INSERT OR UPDATE OF name, code, slug, parent_territory_id
  ON territories_territory FOR EACH ROW EXECUTE FUNCTION territories_place();
CREATE TRIGGER territories_2_insert AFTER INSERT ON territories_territory
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION territories_after_insert();
CREATE TRIGGER territories_2_update AFTER UPDATE ON territories_territory
  REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION territories_after_update();
"""
GONE = """
DROP FUNCTION territories_place, territories_after_insert, territories_after_update CASCADE;
DROP FUNCTION territories_rebuild, territories_settle, territories_slug;
"""


class Migration(migrations.Migration):
    dependencies = [("territories", "0001_initial")]

    operations = [migrations.RunSQL(FUNCTIONS, GONE)]
