from django.db import migrations, models


class Migration(migrations.Migration):
    """How well surfaces fitted, and the volatility that scenarios are scaled with, for the officers' market page."""

    dependencies = [
        ("risk", "0012_scenario_source"),
    ]

    operations = [
        migrations.CreateModel(
            name="SurfaceFit",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("underlying", models.CharField(max_length=12)),
                ("as_of", models.DateTimeField()),
                ("body", models.JSONField(help_text="risk.market.surface_report.kept")),
            ],
            options={"ordering": ["-as_of"]},
        ),
        migrations.AddField(
            model_name="scenariosource",
            name="daily_vols",
            field=models.JSONField(
                default=dict, help_text="daily volatility that each coin's scenarios are scaled with"
            ),
        ),
    ]
