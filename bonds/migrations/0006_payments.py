from pathlib import Path

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """What a series pays its holders: coupons, principal, reserves, elections, and what holders are told."""

    dependencies = [
        ("bonds", "0005_eligibility"),
        ("intermediary", "0022_eligibility"),
    ]

    operations = [
        migrations.CreateModel(
            name="CouponPart",
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
                ("amount_base_units", intermediary.models.base.BaseUnitsField()),
                ("from_relationship_base_units", intermediary.models.base.BaseUnitsField()),
                ("from_house_base_units", intermediary.models.base.BaseUnitsField()),
            ],
            options={
                "ordering": ["run", "slice"],
            },
        ),
        migrations.CreateModel(
            name="CouponPayment",
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
                ("units", intermediary.models.base.BaseUnitsField()),
                ("amount_base_units", intermediary.models.base.BaseUnitsField(help_text="rounded down")),
            ],
        ),
        migrations.CreateModel(
            name="CouponRun",
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
                ("number", models.PositiveSmallIntegerField(help_text="1 is the first coupon")),
                ("accrual_start", models.DateField()),
                ("accrual_end", models.DateField(help_text="the first day that earns nothing for this coupon")),
                ("record_date", models.DateField()),
                ("payment_date", models.DateField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("PLANNED", "Planned"),
                            ("MOVING", "On its way to the escrow"),
                            ("PAID", "Paid"),
                            ("CANCELLED", "Cancelled"),
                        ],
                        default="PLANNED",
                        max_length=10,
                    ),
                ),
                (
                    "rate_annual",
                    models.DecimalField(decimal_places=9, help_text="spread plus yield", max_digits=12, null=True),
                ),
                ("amount_base_units", intermediary.models.base.BaseUnitsField(default=0)),
                (
                    "from_relationships_base_units",
                    intermediary.models.base.BaseUnitsField(
                        default=0, help_text="spread that covered relationships prefunded"
                    ),
                ),
                (
                    "from_collateral_base_units",
                    intermediary.models.base.BaseUnitsField(default=0, help_text="realised yield of the collateral"),
                ),
                (
                    "from_house_base_units",
                    intermediary.models.base.BaseUnitsField(
                        default=0, help_text="the gap, which the intermediary pays"
                    ),
                ),
                (
                    "units",
                    intermediary.models.base.BaseUnitsField(
                        default=0, help_text="all units of the class, which the coupon was shared among"
                    ),
                ),
                ("paid_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["tranche", "number"],
            },
        ),
        migrations.CreateModel(
            name="HolderClaim",
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
                ("address", models.CharField(max_length=42)),
                ("amount_base_units", intermediary.models.base.BaseUnitsField()),
                ("transaction_hash", models.CharField(max_length=66)),
                ("log_index", models.PositiveIntegerField()),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="HolderNotice",
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
                ("kind", models.CharField(max_length=14)),
                ("text", models.CharField(max_length=300)),
                ("data", models.JSONField(default=dict)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Redemption",
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
                    "reason",
                    models.CharField(
                        choices=[
                            ("MATURITY", "Maturity"),
                            ("RELEASE", "Released from reserve"),
                            ("FINAL", "Final maturity"),
                            ("EARLY", "Early redemption"),
                            ("RECOVERY", "Late recovery"),
                            ("ON_CHAIN", "Released on chain by anyone"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("MOVING", "On its way"), ("DONE", "Done")], default="MOVING", max_length=6
                    ),
                ),
                ("amount_base_units", intermediary.models.base.BaseUnitsField()),
                ("done_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Reserve",
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
                ("basis", models.CharField(help_text="NONE, ESTIMATE, UNKNOWN, DETERMINED or FINAL", max_length=12)),
                ("factor", models.DecimalField(decimal_places=4, help_text="on the estimated net loss", max_digits=6)),
                (
                    "estimated_net_loss_base_units",
                    intermediary.models.base.BaseUnitsField(default=0),
                ),
                ("outstanding_base_units", intermediary.models.base.BaseUnitsField()),
                ("reserved_base_units", intermediary.models.base.BaseUnitsField()),
                ("released_base_units", intermediary.models.base.BaseUnitsField()),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="RollForward",
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
                ("minimum_spread_bps", models.PositiveIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ELECTED", "Elected"),
                            ("WITHDRAWN", "Withdrawn"),
                            ("APPLIED", "Applied"),
                            ("LAPSED", "Lapsed"),
                        ],
                        default="ELECTED",
                        max_length=10,
                    ),
                ),
                (
                    "amount_base_units",
                    intermediary.models.base.BaseUnitsField(
                        default=0, help_text="principal that was repaid to it when it was applied"
                    ),
                ),
                ("applied_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="SpreadCharge",
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
                ("number", models.PositiveSmallIntegerField(help_text="of the coupon")),
                (
                    "due_base_units",
                    intermediary.models.base.BaseUnitsField(
                        help_text="its share of the spread, less what lies ready from before"
                    ),
                ),
                (
                    "taken_base_units",
                    intermediary.models.base.BaseUnitsField(help_text="what its free margin could pay"),
                ),
            ],
            options={
                "ordering": ["slice", "number"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="sliceact",
            name="one_act_in_flight",
        ),
        migrations.AddField(
            model_name="series",
            name="end_reason",
            field=models.CharField(blank=True, max_length=120),
        ),
        migrations.AddField(
            model_name="series",
            name="risk_ended_at",
            field=models.DateTimeField(help_text="when the risk period ended before its time", null=True),
        ),
        migrations.AddField(
            model_name="slicepart",
            name="spread_share",
            field=models.DecimalField(
                decimal_places=10,
                help_text="of the class' spread that the relationship prefunds",
                max_digits=12,
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="seriesevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("STRUCTURED", "Structured"),
                    ("DEPLOYED", "Contracts deployed"),
                    ("OPENED", "Book opened"),
                    ("PRICED", "Priced and allocated"),
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
        migrations.AlterField(
            model_name="sliceact",
            name="state",
            field=models.CharField(
                choices=[
                    ("NOTICED", "Notice on its way to the chain"),
                    ("CHALLENGE", "Challenge period"),
                    ("MOVING", "Money on its way"),
                    ("DONE", "Done"),
                    ("LAPSED", "Lapsed at final maturity"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="sliceact",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["DONE", "LAPSED"]), _negated=True),
                fields=("slice",),
                name="one_act_in_flight",
            ),
        ),
        migrations.AddField(
            model_name="couponpart",
            name="cell",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.cell"
            ),
        ),
        migrations.AddField(
            model_name="couponpart",
            name="movement",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.chaininstruction"
            ),
        ),
        migrations.AddField(
            model_name="couponpart",
            name="slice",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="bonds.slice"),
        ),
        migrations.AddField(
            model_name="couponpayment",
            name="party",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.party"
            ),
        ),
        migrations.AddField(
            model_name="couponpayment",
            name="wallet",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.wallet"
            ),
        ),
        migrations.AddField(
            model_name="couponrun",
            name="tranche",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="coupon_runs", to="bonds.tranche"
            ),
        ),
        migrations.AddField(
            model_name="couponpayment",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="payments", to="bonds.couponrun"
            ),
        ),
        migrations.AddField(
            model_name="couponpart",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="parts", to="bonds.couponrun"
            ),
        ),
        migrations.AddField(
            model_name="holderclaim",
            name="party",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.party"
            ),
        ),
        migrations.AddField(
            model_name="holderclaim",
            name="tranche",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="claims", to="bonds.tranche"
            ),
        ),
        migrations.AddField(
            model_name="holdernotice",
            name="party",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="bond_notices", to="intermediary.party"
            ),
        ),
        migrations.AddField(
            model_name="holdernotice",
            name="series",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="holder_notices", to="bonds.series"
            ),
        ),
        migrations.AddField(
            model_name="holdernotice",
            name="tranche",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="bonds.tranche"
            ),
        ),
        migrations.AddField(
            model_name="redemption",
            name="cell",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.cell"
            ),
        ),
        migrations.AddField(
            model_name="redemption",
            name="movement",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="intermediary.chaininstruction",
            ),
        ),
        migrations.AddField(
            model_name="redemption",
            name="part",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="redemptions", to="bonds.slicepart"
            ),
        ),
        migrations.AddField(
            model_name="redemption",
            name="slice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="redemptions", to="bonds.slice"
            ),
        ),
        migrations.AddField(
            model_name="reserve",
            name="cell",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.cell"
            ),
        ),
        migrations.AddField(
            model_name="reserve",
            name="slice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="reserves", to="bonds.slice"
            ),
        ),
        migrations.AddField(
            model_name="rollforward",
            name="into",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="bonds.tranche"),
        ),
        migrations.AddField(
            model_name="rollforward",
            name="party",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.party"
            ),
        ),
        migrations.AddField(
            model_name="rollforward",
            name="tranche",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="roll_forwards", to="bonds.tranche"
            ),
        ),
        migrations.AddField(
            model_name="rollforward",
            name="wallet",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.wallet"
            ),
        ),
        migrations.AddField(
            model_name="spreadcharge",
            name="cell",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.cell"
            ),
        ),
        migrations.AddField(
            model_name="spreadcharge",
            name="movement",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="intermediary.chaininstruction",
            ),
        ),
        migrations.AddField(
            model_name="spreadcharge",
            name="slice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="spread_charges", to="bonds.slice"
            ),
        ),
        migrations.AddConstraint(
            model_name="couponrun",
            constraint=models.UniqueConstraint(fields=("tranche", "number"), name="coupon_once_a_period"),
        ),
        migrations.AddConstraint(
            model_name="couponrun",
            constraint=models.CheckConstraint(
                condition=models.Q(("accrual_start__lt", models.F("accrual_end"))), name="coupon_period_has_days"
            ),
        ),
        migrations.AddConstraint(
            model_name="couponrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "amount_base_units",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("from_relationships_base_units"), "+", models.F("from_collateral_base_units")
                            ),
                            "+",
                            models.F("from_house_base_units"),
                        ),
                    )
                ),
                name="coupon_has_a_payer",
            ),
        ),
        migrations.AddConstraint(
            model_name="couponpayment",
            constraint=models.UniqueConstraint(fields=("run", "wallet"), name="coupon_once_a_wallet"),
        ),
        migrations.AddConstraint(
            model_name="couponpart",
            constraint=models.UniqueConstraint(fields=("run", "slice"), name="coupon_part_once_a_slice"),
        ),
        migrations.AddConstraint(
            model_name="couponpart",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "amount_base_units",
                        django.db.models.expressions.CombinedExpression(
                            models.F("from_relationship_base_units"), "+", models.F("from_house_base_units")
                        ),
                    ),
                    ("amount_base_units__gt", 0),
                    ("from_house_base_units__gte", 0),
                    ("from_relationship_base_units__gte", 0),
                ),
                name="coupon_part_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="holderclaim",
            constraint=models.UniqueConstraint(fields=("transaction_hash", "log_index"), name="claim_once"),
        ),
        migrations.AddIndex(
            model_name="holdernotice",
            index=models.Index(fields=["party", "-id"], name="holder_notices_of_a_party"),
        ),
        migrations.AddConstraint(
            model_name="redemption",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "MOVING")), fields=("part",), name="one_redemption_in_flight"
            ),
        ),
        migrations.AddConstraint(
            model_name="redemption",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_base_units__gt", 0)), name="redemption_pays_something"
            ),
        ),
        migrations.AddConstraint(
            model_name="reserve",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "outstanding_base_units",
                        django.db.models.expressions.CombinedExpression(
                            models.F("reserved_base_units"), "+", models.F("released_base_units")
                        ),
                    ),
                    ("released_base_units__gte", 0),
                    ("reserved_base_units__gte", 0),
                ),
                name="reserved_and_released_are_all",
            ),
        ),
        migrations.AddConstraint(
            model_name="rollforward",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "ELECTED")), fields=("tranche", "wallet"), name="one_election_a_wallet"
            ),
        ),
        migrations.AddConstraint(
            model_name="spreadcharge",
            constraint=models.UniqueConstraint(fields=("slice", "number"), name="spread_charged_once"),
        ),
        migrations.AddConstraint(
            model_name="spreadcharge",
            constraint=models.CheckConstraint(
                condition=models.Q(("taken_base_units__gte", 0), ("taken_base_units__lte", models.F("due_base_units"))),
                name="no_more_taken_than_due",
            ),
        ),
        migrations.RunSQL((SQL / "0006_payments.sql").read_text(), (SQL / "0006_payments.undo.sql").read_text()),
    ]
