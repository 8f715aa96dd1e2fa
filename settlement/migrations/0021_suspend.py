from django.db import migrations, models


class Migration(migrations.Migration):
    """Transfers of notes rest on chain by an act of two officers."""

    dependencies = [
        ("settlement", "0020_witnessed"),
    ]

    operations = [
        migrations.AlterField(
            model_name="chainact",
            name="kind",
            field=models.CharField(
                choices=[
                    ("RELATIONSHIP", "Open a relationship"),
                    ("AMEND", "Record amended terms"),
                    ("SERIES", "Set up a series"),
                    ("ELIGIBLE", "Enter eligible holders"),
                    ("ALLOT", "Allot notes"),
                    ("CLOSE", "Close an offering"),
                    ("PULL", "Pull an offering"),
                    ("REFUND", "Pay subscribers back"),
                    ("SUSPEND", "Suspend transfers of notes"),
                    ("CAP", "Change an outflow cap"),
                    ("CAP_NOW", "Change an outflow cap at once"),
                    ("RULEBOOK", "Publish a rulebook"),
                    ("CHALLENGE", "Challenge a loss notice"),
                    ("RULE", "Rule on a challenged notice"),
                    ("CANCEL_LOSS", "Take a loss notice back"),
                    ("CALL", "Make a restricted call"),
                ],
                max_length=12,
            ),
        ),
    ]
