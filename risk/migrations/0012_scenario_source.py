from django.db import migrations, models


class Migration(migrations.Migration):
    """Where the scenarios come from, which everybody may read."""

    dependencies = [
        ("config", "0001_rights"),
        ("risk", "0011_cycles"),
    ]

    operations = [
        migrations.CreateModel(
            name="ScenarioSource",
            fields=[
                ("only_row", models.BooleanField(default=True, primary_key=True, serialize=False)),
                ("as_of", models.DateField(help_text="day of the scenarios")),
                (
                    "recorded_to",
                    models.DateField(help_text="day that the recording reaches; null: they are simulated", null=True),
                ),
                (
                    "lacks",
                    models.CharField(blank=True, help_text="why a recording that is there is not used", max_length=200),
                ),
                (
                    "left_out",
                    models.JSONField(default=list, help_text="bars of the recording that could not be true, in words"),
                ),
                (
                    "is_live",
                    models.BooleanField(default=False, help_text="whether the market is of now, and no replay"),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("only_row", True)), name="scenario_source_is_one_row")
                ],
            },
        ),
        migrations.RunSQL("GRANT SELECT ON risk_scenariosource TO bulkhead_portal;", migrations.RunSQL.noop),
    ]
