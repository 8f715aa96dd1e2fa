import django.db.models.deletion
from django.db import migrations, models

# Each row is looked up by the key of what it names: a join over two hundred rows may start anywhere.
EXIST = """
CREATE FUNCTION signed_movements_exist() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF (SELECT count(*) FROM signed) <> (
        SELECT count(*) FROM signed
        CROSS JOIN LATERAL (
            SELECT FROM settlement_approval WHERE id = signed.approval_id LIMIT 1) AS asked
        CROSS JOIN LATERAL (
            SELECT FROM intermediary_chaininstruction WHERE id = signed.instruction_id LIMIT 1) AS instructed) THEN
        RAISE EXCEPTION 'signed_movements_exist: an approval or an instruction that is signed is not there'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER signed_movements_exist AFTER INSERT ON settlement_signedmovement
    REFERENCING NEW TABLE AS signed FOR EACH STATEMENT EXECUTE FUNCTION signed_movements_exist();
"""
NO_MORE = """
DROP TRIGGER signed_movements_exist ON settlement_signedmovement;
DROP FUNCTION signed_movements_exist();
"""


def _named(to: str) -> models.Field:
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to=to,
    )


class Migration(migrations.Migration):
    """What the approver signed is written two hundred rows at a time: checked together, and indexed once each way."""

    dependencies = [("settlement", "0021_suspend"), ("intermediary", "0020_checks_once")]
    operations = [
        migrations.AlterField("signedmovement", "approval", _named("settlement.approval")),
        migrations.AlterField("signedmovement", "instruction", _named("intermediary.chaininstruction")),
        migrations.RunSQL(EXIST, NO_MORE),
        migrations.AddIndex(
            "approval",
            models.Index(
                condition=models.Q(("refusal__isnull", True), ("signature", "")),
                fields=["id"],
                name="unanswered_approvals",
            ),
        ),
        migrations.AddIndex(
            "approval",
            models.Index(condition=models.Q(("refusal__isnull", False)), fields=["id"], name="refused_approvals"),
        ),
    ]
