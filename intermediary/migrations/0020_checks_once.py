from django.db import migrations, models

from intermediary.sql import run_file

PROTECT = models.PROTECT


def key(
    to: str, related_name: str = "+", *, index: bool = True, constraint: bool = True, null: bool = False
) -> models.ForeignKey[models.Model]:
    return models.ForeignKey(
        f"intermediary.{to}", PROTECT, related_name=related_name, db_index=index, db_constraint=constraint, null=null
    )


class Migration(migrations.Migration):
    """The ledger's laws checked once each, and no index that another begins with."""

    dependencies = [
        ("intermediary", "0019_asset_chain"),
    ]

    operations = [
        migrations.AlterField("chaininstruction", "cell", key("cell", "instructions", index=False)),
        migrations.AlterField("chaininstruction", "target", key("chaintarget", "instructions", index=False)),
        migrations.AlterField(
            "chaininstruction", "entry", key("journalentry", "instructions", constraint=False, null=True)
        ),
        migrations.AlterField("journalentry", "cell", key("cell", "entries", index=False)),
        migrations.AlterField("posting", "cell", key("cell", constraint=False)),
        migrations.AlterField("posting", "entry", key("journalentry", "postings", constraint=False)),
        migrations.AlterField("posting", "account", key("account", "postings", constraint=False, index=False)),
        migrations.AlterField("posting", "asset", key("asset", constraint=False, index=False)),
        run_file("0020_checks_once"),
    ]
