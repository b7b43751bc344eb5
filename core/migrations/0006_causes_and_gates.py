from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0005_delivery"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="cause",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="job",
            name="depth",
            field=models.SmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="company",
            name="gates_version",
            field=models.UUIDField(editable=False, null=True),
        ),
    ]
