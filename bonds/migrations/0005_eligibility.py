from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """Who may hold notes: applications of investors, and the wallets that two officers let hold them."""

    dependencies = [
        ("bonds", "0004_outputs_of_a_mark"),
        ("intermediary", "0022_eligibility"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="EligibilityApplication",
            fields=[
                (
                    "id",
                    models.UUIDField(default=intermediary.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(db_default=intermediary.models.base.PlatformNow(), editable=False)),
                (
                    "recorded_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "investor_class",
                    models.CharField(
                        choices=[
                            ("PROFESSIONAL", "Professional client"),
                            ("ELIGIBLE_COUNTERPARTY", "Eligible counterparty"),
                            ("QUALIFIED_INSTITUTION", "Qualified institutional buyer"),
                        ],
                        max_length=24,
                    ),
                ),
                ("documents", models.JSONField(help_text="kind of document -> SHA-256 in hex")),
                (
                    "evidence_hash",
                    models.CharField(help_text="SHA-256 of the documents' hashes, canonically", max_length=64),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("APPLIED", "Waiting for the desk"),
                            ("APPROVED", "Approved"),
                            ("DECLINED", "Declined"),
                            ("REPLACED", "Replaced by a later one"),
                        ],
                        default="APPLIED",
                        max_length=8,
                    ),
                ),
                ("answer", models.TextField(blank=True, help_text="the reason that the deciding officer gave")),
                (
                    "applied_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "party",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="eligibility_applications",
                        to="intermediary.party",
                    ),
                ),
                (
                    "wallet",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.wallet"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="EligibleWallet",
            fields=[
                (
                    "id",
                    models.UUIDField(default=intermediary.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(db_default=intermediary.models.base.PlatformNow(), editable=False)),
                (
                    "recorded_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "investor_class",
                    models.CharField(
                        choices=[
                            ("PROFESSIONAL", "Professional client"),
                            ("ELIGIBLE_COUNTERPARTY", "Eligible counterparty"),
                            ("QUALIFIED_INSTITUTION", "Qualified institutional buyer"),
                        ],
                        max_length=24,
                    ),
                ),
                ("evidence_hash", models.CharField(max_length=64)),
                ("valid_until", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("APPROVED", "Approved, not in the register yet"),
                            ("ENTERED", "In the register on chain"),
                            ("SUPERSEDED", "Replaced before it was entered"),
                        ],
                        default="APPROVED",
                        max_length=10,
                    ),
                ),
                (
                    "transaction_hash",
                    models.CharField(blank=True, help_text="empty: the register said it already", max_length=66),
                ),
                ("entered_at", models.DateTimeField(null=True)),
                (
                    "application",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="grants",
                        to="bonds.eligibilityapplication",
                    ),
                ),
                (
                    "party",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="eligible_wallets",
                        to="intermediary.party",
                    ),
                ),
                (
                    "proposal",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="eligible_wallet",
                        to="intermediary.proposal",
                    ),
                ),
                (
                    "wallet",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="eligibilities",
                        to="intermediary.wallet",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddConstraint(
            model_name="eligibilityapplication",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "APPLIED")), fields=("party",), name="one_open_application"
            ),
        ),
        migrations.AddIndex(
            model_name="eligiblewallet",
            index=models.Index(fields=["wallet", "-id"], name="newest_grant_of_a_wallet"),
        ),
        migrations.RunSQL((SQL / "0005_eligibility.sql").read_text(), (SQL / "0005_eligibility.undo.sql").read_text()),
    ]
