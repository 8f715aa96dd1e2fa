from django.db import migrations, models

# An escrow that anyone has matured overtakes what was under way.
RULES = """INSERT INTO intermediary_transition (entity, before, after)
    VALUES ('redemption', 'MOVING', 'LAPSED'), ('sliceact', 'MOVING', 'LAPSED');"""
BEFORE = """DELETE FROM intermediary_transition
    WHERE entity IN ('redemption', 'sliceact') AND before = 'MOVING' AND after = 'LAPSED';"""


class Migration(migrations.Migration):
    dependencies = [("bonds", "0013_risk_from_issue")]

    operations = [
        migrations.AlterField(
            model_name="redemption",
            name="state",
            field=models.CharField(
                choices=[("MOVING", "On its way"), ("DONE", "Done"), ("LAPSED", "Overtaken by the escrow's maturity")],
                default="MOVING",
                max_length=6,
            ),
        ),
        migrations.RunSQL(RULES, BEFORE),
    ]
