from django.db import migrations, models

# Uploads of before become stored files of the same bytes; they are kept as long as new ones. The owner of the tables is
# bound by their policies, too, until `migrate` installs them again at its end.
CARRY_OVER = """
ALTER TABLE data_import_importjob NO FORCE ROW LEVEL SECURITY;
ALTER TABLE core_storedfile NO FORCE ROW LEVEL SECURITY;
UPDATE data_import_importjob SET file_id = gen_random_uuid();
INSERT INTO core_storedfile (id, company_id, created_at, created_by_id, kind, name, content_type, size, sha256,
  storage_key, entity_type, record_id, expires_at)
SELECT file_id, company_id, created_at, created_by_id, 'import', file_name, 'text/plain', file_size, file_sha256,
  file_path, 'import_job', id, now() + interval '30 days'
FROM data_import_importjob;
SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0007_stored_files"),
        ("data_import", "0003_refused_rows"),
    ]

    operations = [
        migrations.AddField(
            model_name="importjob",
            name="file_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="importjob",
            name="staged_bytes",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.RunSQL(CARRY_OVER, migrations.RunSQL.noop),
        migrations.RemoveField(
            model_name="importjob",
            name="file_path",
        ),
    ]
