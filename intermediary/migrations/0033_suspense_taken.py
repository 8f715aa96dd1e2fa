from django.db import migrations, models

from intermediary.sql import run_file


class Migration(migrations.Migration):
    """What a cure or a seizure takes of a stranger's tokens stays that stranger's."""

    dependencies = [
        ("intermediary", "0032_counted_lines"),
    ]

    operations = [
        migrations.AlterField(
            model_name="account",
            name="kind",
            field=models.CharField(
                choices=[
                    ("client_margin", "Client Margin"),
                    ("suspense", "Suspense"),
                    ("house", "House"),
                    ("suspense_taken", "Suspense Taken"),
                    ("float", "Float"),
                    ("fees", "Fees"),
                    ("interest", "Interest"),
                    ("recovery", "Recovery"),
                    ("rounding", "Rounding"),
                    ("first_loss", "First Loss"),
                    ("senior_retention", "Senior Retention"),
                    ("escrow", "Escrow"),
                    ("coupons", "Coupons"),
                    ("in_transit", "In Transit"),
                    ("outside", "Outside"),
                    ("equity", "Equity"),
                    ("credit_extended", "Credit Extended"),
                    ("uncovered_claims", "Uncovered Claims"),
                    ("costs", "Costs"),
                    ("loss", "Loss"),
                    ("venue", "Venue"),
                ],
                max_length=20,
            ),
        ),
        run_file("0033_suspense_taken"),
    ]
