from django.db import migrations, models


class Migration(migrations.Migration):
    """A relationship is opened off chain by two people's decision."""

    dependencies = [
        ("intermediary", "0029_recoveries"),
    ]

    operations = [
        migrations.AlterField(
            model_name="proposal",
            name="kind",
            field=models.CharField(
                choices=[
                    ("CREDIT_LINE", "Credit line"),
                    ("DEFAULT_NOTICE", "Default notice"),
                    ("LOSS_DETERMINATION", "Loss determination"),
                    ("WRITE_OFF", "Write-off"),
                    ("CHAIN_CALL", "Call that does not get on chain"),
                    ("CHAIN_ACT", "Act on chain"),
                    ("LIFT_FENCE", "Fence to be lifted"),
                    ("ELIGIBILITY", "Eligibility of an investor's wallet"),
                    ("SERIES", "Series of notes"),
                    ("SERIES_REDEMPTION", "Early redemption of a series"),
                    ("OFFERING", "Act on an offering of notes"),
                    ("PRICING_RULES", "Pricing ruleset"),
                    ("RELATIONSHIP", "Relationship to be opened"),
                ],
                max_length=20,
            ),
        ),
    ]
