from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base

SQL = Path(__file__).parent.parent / "sql"

# An order of before was not sealed: its opening says so, and its hash stands where a commitment does.
ORDERS_OF_BEFORE = """
    UPDATE bonds_order SET opening = format(
        '{"amount":"%s","format":"bulkhead-bid-0","order":"%s","spread_bps":%s}', amount_base_units, id, minimum_spread_bps);
    UPDATE bonds_order SET commitment = encode(sha256(convert_to(opening, 'UTF8')), 'hex');
    UPDATE bonds_order SET state = 'WITHDRAWN' WHERE state = 'PLACED';
    UPDATE bonds_allocation SET paid_units = units, state = 'PAID' WHERE settled_at IS NOT NULL;
"""


class Migration(migrations.Migration):
    """Offerings with sealed bids: their times, what they sell, who bid, what was paid."""

    dependencies = [
        ("bonds", "0010_rulesets"),
        ("intermediary", "0022_eligibility"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="NotePayment",
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
                ("wallet_address", models.CharField(max_length=42)),
                ("units", intermediary.models.base.BaseUnitsField()),
                ("transaction_hash", models.CharField(max_length=66)),
                ("log_index", models.PositiveIntegerField()),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="OfferedClass",
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
                ("target_base_units", intermediary.models.base.BaseUnitsField()),
                (
                    "limit_base_units",
                    intermediary.models.base.BaseUnitsField(help_text="most that is sold at the clearing spread"),
                ),
                ("cap_base_units", intermediary.models.base.BaseUnitsField(help_text="most that one investor gets")),
                (
                    "bidders_min",
                    models.PositiveSmallIntegerField(default=1, help_text="fewest investors that a covered book fills"),
                ),
                ("size_base_units", intermediary.models.base.BaseUnitsField(help_text="what was sold", null=True)),
            ],
            options={
                "verbose_name_plural": "offered classes",
                "ordering": ["tranche__seniority"],
            },
        ),
        migrations.CreateModel(
            name="Offering",
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
                    "state",
                    models.CharField(
                        choices=[
                            ("ANNOUNCED", "Announced"),
                            ("GUIDANCE", "Guidance published"),
                            ("OPEN", "Sealed bids"),
                            ("CLOSED", "Bids being revealed"),
                            ("PRICED", "Priced"),
                            ("ALLOCATED", "Allocated, to be paid"),
                            ("SETTLED", "Settled"),
                            ("PULLED", "Pulled"),
                        ],
                        default="ANNOUNCED",
                        max_length=9,
                    ),
                ),
                ("opens_at", models.DateTimeField()),
                ("commits_until", models.DateTimeField()),
                ("reveals_until", models.DateTimeField()),
                ("pays_until", models.DateTimeField(help_text="end of the first round of payment")),
                (
                    "ends_at",
                    models.DateTimeField(help_text="end of the last round: the escrow takes nothing afterwards"),
                ),
                ("rules", models.CharField(help_text="name of the rules of clearing", max_length=40)),
                ("payment_round", models.PositiveSmallIntegerField(default=0)),
                ("report", models.TextField(blank=True, help_text="canonical JSON of bids, clearing and allocation")),
                ("report_hash", models.CharField(blank=True, max_length=64)),
                ("pulled_because", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="allocation",
            name="allocation_is_positive",
        ),
        migrations.RemoveConstraint(
            model_name="order",
            name="order_is_positive",
        ),
        migrations.RemoveConstraint(
            model_name="order",
            name="one_order_in_the_book",
        ),
        migrations.AddField(
            model_name="allocation",
            name="paid_units",
            field=intermediary.models.base.BaseUnitsField(default=0),
        ),
        migrations.AddField(
            model_name="allocation",
            name="pay_by",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="allocation",
            name="payment_round",
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="allocation",
            name="state",
            field=models.CharField(
                choices=[("DUE", "To be paid"), ("PAID", "Paid"), ("FAILED", "Not paid in full in time")],
                default="DUE",
                max_length=6,
            ),
        ),
        migrations.AddField(
            model_name="order",
            name="commitment",
            field=models.CharField(default="", help_text="SHA-256 of the opening", max_length=64),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="order",
            name="conflicts",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="order",
            name="nonce",
            field=models.CharField(
                blank=True, help_text="ties the opening to its bidder; not published", max_length=64
            ),
        ),
        migrations.AddField(
            model_name="order",
            name="opening",
            field=models.TextField(blank=True, help_text="canonical JSON of the ladder, once revealed"),
        ),
        migrations.AddField(
            model_name="order",
            name="revealed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name="allocation",
            name="order",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="allocations", to="bonds.order"
            ),
        ),
        migrations.AlterField(
            model_name="order",
            name="state",
            field=models.CharField(
                choices=[
                    ("PLACED", "Sealed"),
                    ("REVEALED", "Revealed"),
                    ("UNREVEALED", "Never revealed"),
                    ("BARRED", "Barred from the series"),
                    ("ALLOCATED", "Allocated"),
                    ("UNFILLED", "Not filled"),
                    ("WITHDRAWN", "Withdrawn"),
                ],
                default="PLACED",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="seriesevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("STRUCTURED", "Structured"),
                    ("DEPLOYED", "Contracts deployed"),
                    ("ANNOUNCED", "Offering announced"),
                    ("GUIDANCE", "Guidance published"),
                    ("OPENED", "Book opened"),
                    ("SEALED", "Sealed bid"),
                    ("UNSEALED", "Sealed bid withdrawn"),
                    ("CLOSED", "Book closed"),
                    ("CLEARED", "Book cleared"),
                    ("PRICED", "Priced and allocated"),
                    ("REOFFERED", "Unpaid notes re-offered"),
                    ("PULLED", "Pulled"),
                    ("ISSUED", "Issued"),
                    ("EVENT_OPENED", "Default notice"),
                    ("EVENT_CLOSED", "Default settled"),
                    ("LOSS_NOTICED", "Loss noticed"),
                    ("CHALLENGE", "Challenge period running"),
                    ("WRITTEN_DOWN", "Written down"),
                    ("WRITTEN_UP", "Written up"),
                    ("COUPON_PAID", "Coupon paid"),
                    ("COUPON_UNPAID", "Coupon unpaid"),
                    ("RISK_ENDED", "Risk period ended"),
                    ("EXTENDED", "Extended"),
                    ("RESERVED", "Reserve reviewed"),
                    ("MATURED", "Matured"),
                    ("REPAID", "Principal repaid"),
                    ("REDEEMED", "Redeemed"),
                    ("WRITTEN_OFF", "Written off"),
                    ("SUSPENDED", "Transfers suspended"),
                    ("RESUMED", "Transfers resumed"),
                ],
                max_length=14,
            ),
        ),
        migrations.RunSQL(ORDERS_OF_BEFORE, migrations.RunSQL.noop),
        migrations.RemoveField(
            model_name="order",
            name="amount_base_units",
        ),
        migrations.RemoveField(
            model_name="order",
            name="minimum_spread_bps",
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.UniqueConstraint(fields=("order", "payment_round"), name="allocation_once_a_round"),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(("paid_units__range", (0, models.F("units"))), ("units__gt", 0)),
                name="allocation_is_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.UniqueConstraint(fields=("tranche", "commitment"), name="commitment_once"),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["PLACED", "REVEALED"])),
                fields=("tranche", "party"),
                name="one_order_in_the_book",
            ),
        ),
        migrations.AddField(
            model_name="notepayment",
            name="allocation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="payments", to="bonds.allocation"
            ),
        ),
        migrations.AddField(
            model_name="notepayment",
            name="party",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="note_payments", to="intermediary.party"
            ),
        ),
        migrations.AddField(
            model_name="notepayment",
            name="tranche",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="payments", to="bonds.tranche"
            ),
        ),
        migrations.AddField(
            model_name="offeredclass",
            name="tranche",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="offered", to="bonds.tranche"
            ),
        ),
        migrations.AddField(
            model_name="offering",
            name="series",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="offering", to="bonds.series"
            ),
        ),
        migrations.AddField(
            model_name="offeredclass",
            name="offering",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="classes", to="bonds.offering"
            ),
        ),
        migrations.AddConstraint(
            model_name="notepayment",
            constraint=models.UniqueConstraint(
                fields=("allocation", "transaction_hash", "log_index"), name="payment_once_an_allocation"
            ),
        ),
        migrations.AddConstraint(
            model_name="notepayment",
            constraint=models.CheckConstraint(condition=models.Q(("units__gt", 0)), name="payment_is_positive"),
        ),
        migrations.AddConstraint(
            model_name="offering",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("opens_at__lt", models.F("commits_until")),
                    ("commits_until__lt", models.F("reveals_until")),
                    ("reveals_until__lt", models.F("pays_until")),
                    ("pays_until__lte", models.F("ends_at")),
                ),
                name="offering_times_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="offeredclass",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("cap_base_units__gt", 0),
                    ("target_base_units__gt", 0),
                    ("limit_base_units__gte", models.F("target_base_units")),
                    models.Q(
                        ("size_base_units", None),
                        ("size_base_units__range", (models.F("target_base_units"), models.F("limit_base_units"))),
                        _connector="OR",
                    ),
                ),
                name="offered_amounts_fit",
            ),
        ),
        migrations.RunSQL((SQL / "0011_book_build.sql").read_text(), (SQL / "0011_book_build.undo.sql").read_text()),
    ]
