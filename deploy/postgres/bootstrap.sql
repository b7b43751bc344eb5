-- Once per server, by a superuser, before the first `manage.py migrate`:
--     CRM_DATABASE_PASSWORD=… CRM_OWNER_PASSWORD=… psql -d postgres -f bootstrap.sql
--         [-v login=crm] [-v owner=crm_owner] [-v database=crm]
-- It makes the login that serves, the one that owns the tables and migrates, the two roles that serving takes on, and the database.
\set ON_ERROR_STOP on
\if :{?login} \else \set login crm \endif
\if :{?owner} \else \set owner crm_owner \endif
\if :{?database} \else \set database crm \endif
\getenv password CRM_DATABASE_PASSWORD
\getenv owner_password CRM_OWNER_PASSWORD

CREATE ROLE :"login" LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'password';
CREATE ROLE :"owner" LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'owner_password';

-- Requests run as crm_app, work across companies as crm_platform; neither can sign in, own a table or
-- pass by row-level security. The serving login takes one of them on for each transaction, and has no other rights: what
-- `RESET ROLE` leads back to may do nothing.
CREATE ROLE crm_app NOLOGIN NOSUPERUSER NOBYPASSRLS;
CREATE ROLE crm_platform NOLOGIN NOSUPERUSER NOBYPASSRLS;
GRANT crm_app TO crm_platform;
GRANT crm_app, crm_platform TO :"login" WITH INHERIT FALSE, SET TRUE;
GRANT crm_app, crm_platform TO :"owner" WITH ADMIN TRUE, INHERIT FALSE, SET TRUE;

CREATE DATABASE :"database" OWNER :"owner" TEMPLATE template0 ENCODING 'UTF8'
    LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C';

-- Operators that searches need to use an index below row-level security. Where these statements are not
-- allowed (a managed service), leave them out and run the application with READ_POLICY=narrow.
\connect :"database"
ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF;
ALTER FUNCTION pg_catalog.textlike(text, text) LEAKPROOF;
ALTER FUNCTION pg_catalog.texticlike(text, text) LEAKPROOF;
ALTER FUNCTION pg_catalog.jsonb_contains(jsonb, jsonb) LEAKPROOF;
ALTER FUNCTION pg_catalog.arraycontains(anyarray, anyarray) LEAKPROOF;
ALTER FUNCTION pg_catalog.lower(text) LEAKPROOF;
ALTER FUNCTION pg_catalog.numeric_eq(numeric, numeric) LEAKPROOF;
ALTER FUNCTION pg_catalog.numeric_lt(numeric, numeric) LEAKPROOF;
ALTER FUNCTION pg_catalog.numeric_le(numeric, numeric) LEAKPROOF;
ALTER FUNCTION pg_catalog.numeric_gt(numeric, numeric) LEAKPROOF;
ALTER FUNCTION pg_catalog.numeric_ge(numeric, numeric) LEAKPROOF;
