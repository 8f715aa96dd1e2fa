import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The market in which everybody was measured last, of layers, haircuts and stress."""

    dependencies = [
        ("risk", "0015_own_refusal"),
    ]

    operations = [
        migrations.CreateModel(
            name="Measurement",
            fields=[
                (
                    "of",
                    models.CharField(
                        choices=[("layers", "Layers"), ("haircuts", "Haircuts"), ("stress", "Stress")],
                        max_length=10,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "tick",
                    models.ForeignKey(
                        help_text="null: in none yet",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="risk.tick",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(
            """
            INSERT INTO risk_measurement ("of", tick_id)
            (SELECT 'layers', tick_id FROM risk_uncoveredrisk ORDER BY tick_id DESC LIMIT 1) UNION ALL
            (SELECT 'haircuts', tick_id FROM risk_modelhaircut ORDER BY tick_id DESC LIMIT 1) UNION ALL
            (SELECT 'stress', tick_id FROM risk_stressreport ORDER BY tick_id DESC LIMIT 1);
            """,
            migrations.RunSQL.noop,
        ),
    ]
