from django.db import migrations

# A claim and an emergency cap are taken under their next number only. Two live signatures of one number would let
# whoever sends choose between them; an act has one signature, whatever becomes of its number.
SIGNED_ONCE = """
CREATE FUNCTION approval_number_is_signed_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    path text[] := CASE NEW.kind WHEN 'CLAIM' THEN '{message,vault}' ELSE '{domain,verifyingContract}' END;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.kind || (NEW.body #>> path), 0));
    IF EXISTS (
        SELECT FROM settlement_approval other
            LEFT JOIN intermediary_chaininstruction instruction ON instruction.id = other.instruction_id
            LEFT JOIN settlement_chainact act ON act.id = other.act_id
        WHERE other.kind <> 'BATCH' AND other.signature <> '' AND other.kind = NEW.kind AND other.id <> NEW.id
            AND (other.act_id = NEW.act_id
                OR other.body #>> path = NEW.body #>> path
                    AND other.body #>> '{message,nonce}' = NEW.body #>> '{message,nonce}'
                    AND (instruction.id = NEW.instruction_id OR instruction.state <> 'FAILED'
                        OR act.state IN ('OPEN', 'STOPPING')))) THEN
        RAISE EXCEPTION 'approval_number_is_signed_once: another signature of this number may be used yet'
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_number_is_signed_once BEFORE UPDATE ON settlement_approval FOR EACH ROW
    WHEN (NEW.kind <> 'BATCH' AND NEW.signature <> '' AND OLD.signature = '')
    EXECUTE FUNCTION approval_number_is_signed_once();
CREATE INDEX signed_claims_and_caps ON settlement_approval (id) WHERE kind <> 'BATCH' AND signature <> '';
CREATE INDEX decided_on_chain ON settlement_chainlog (address)
    WHERE name IN ('DefaultNoticed', 'ClaimRaised', 'OutflowCapSet', 'CreditLimitSet');
"""
BACK = """
DROP INDEX decided_on_chain;
DROP INDEX signed_claims_and_caps;
DROP TRIGGER approval_number_is_signed_once ON settlement_approval;
DROP FUNCTION approval_number_is_signed_once();
"""


class Migration(migrations.Migration):
    """One live signature a number of a vault's claims and of a house's emergency caps; what the chain showed of such
    decisions is found at once."""

    dependencies = [("settlement", "0027_statements_handed_out")]
    operations = [migrations.RunSQL(SIGNED_ONCE, BACK)]
