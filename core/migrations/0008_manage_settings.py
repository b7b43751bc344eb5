from django.db import migrations

# Setup records (pipelines, stages, lost reasons) have a right of their own now. Managers of companies that are there
# already could write them and still can. The owner of the tables is bound by their policies, too, until `migrate`
# installs them again at its end.
GRANT = """
ALTER TABLE core_role NO FORCE ROW LEVEL SECURITY;
UPDATE core_role SET permissions = permissions || '{manage_settings}'
WHERE is_builtin AND lower(name) = 'manager' AND NOT permissions && '{manage_settings,*}';
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0007_stored_files")]

    operations = [migrations.RunSQL(GRANT, migrations.RunSQL.noop)]
