from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("intermediary", "0007_margin_history"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="margincall",
            name="one_open_call",
        ),
        migrations.AddField(
            model_name="margincall",
            name="kind",
            field=models.CharField(
                choices=[("MARGIN", "Margin call"), ("COVERAGE", "Coverage call")], default="MARGIN", max_length=8
            ),
        ),
        migrations.AlterField(
            model_name="callevent",
            name="after",
            field=models.CharField(
                choices=[
                    ("ISSUED", "Issued"),
                    ("AGREED", "Agreed"),
                    ("PLEDGED", "Pledged"),
                    ("SETTLED", "Met"),
                    ("NETTED", "No longer needed"),
                    ("LAPSED", "Lapsed"),
                    ("DEFAULT_NOTICE", "Default notice"),
                ],
                max_length=14,
            ),
        ),
        migrations.AlterField(
            model_name="callevent",
            name="before",
            field=models.CharField(
                blank=True,
                choices=[
                    ("ISSUED", "Issued"),
                    ("AGREED", "Agreed"),
                    ("PLEDGED", "Pledged"),
                    ("SETTLED", "Met"),
                    ("NETTED", "No longer needed"),
                    ("LAPSED", "Lapsed"),
                    ("DEFAULT_NOTICE", "Default notice"),
                ],
                max_length=14,
            ),
        ),
        migrations.AlterField(
            model_name="defaultevent",
            name="after",
            field=models.CharField(
                choices=[
                    ("NOTICE", "Notice given"),
                    ("CURED", "Cured"),
                    ("ETD_SET", "Early Termination Date set"),
                    ("REPLACING", "Replacing positions"),
                    ("DETERMINED", "Loss determined"),
                    ("ALLOCATED", "Loss allocated"),
                    ("RECOVERY", "Recovery"),
                    ("CLOSED", "Closed"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="defaultevent",
            name="before",
            field=models.CharField(
                blank=True,
                choices=[
                    ("NOTICE", "Notice given"),
                    ("CURED", "Cured"),
                    ("ETD_SET", "Early Termination Date set"),
                    ("REPLACING", "Replacing positions"),
                    ("DETERMINED", "Loss determined"),
                    ("ALLOCATED", "Loss allocated"),
                    ("RECOVERY", "Recovery"),
                    ("CLOSED", "Closed"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="margincall",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["ISSUED", "AGREED", "PLEDGED"])),
                fields=("cell", "direction", "kind"),
                name="one_open_call",
            ),
        ),
    ]
