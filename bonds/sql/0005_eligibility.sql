-- Eligibility of wallets: what the database refuses by itself, and who sees what.

-- A grant says what two officers approved, and nobody of the investor was one of them.
CREATE FUNCTION eligibility_was_approved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM intermediary_proposal p JOIN intermediary_wallet w ON w.id = NEW.wallet_id
        WHERE p.id = NEW.proposal_id AND p.kind = 'ELIGIBILITY' AND p.state = 'APPROVED'
        AND w.party_id = NEW.party_id AND p.body::jsonb ->> 'wallet' = w.address
        AND p.body::jsonb ->> 'application' = NEW.application_id::text
        AND p.body::jsonb ->> 'investor_class' = NEW.investor_class
        AND p.body::jsonb ->> 'evidence_hash' = NEW.evidence_hash
        AND (p.body::jsonb ->> 'valid_until')::timestamptz = NEW.valid_until) THEN
        RAISE EXCEPTION 'eligibility_was_approved: no approved proposal says this' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM intermediary_membership m JOIN intermediary_proposal p ON m.user_id IN (p.maker_id, p.checker_id)
        WHERE p.id = NEW.proposal_id AND m.party_id = NEW.party_id) THEN
        RAISE EXCEPTION 'proposal_not_by_the_client' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER eligibility_was_approved BEFORE INSERT ON bonds_eligiblewallet
    FOR EACH ROW EXECUTE FUNCTION eligibility_was_approved();

-- What was applied for and what was granted never changes; only where it stands does.
CREATE FUNCTION eligibility_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving text[] := ARRAY['state', 'answer', 'transaction_hash', 'entered_at'];
BEGIN
    IF to_jsonb(NEW) - moving IS DISTINCT FROM to_jsonb(OLD) - moving THEN
        RAISE EXCEPTION 'eligibility_is_fixed: apply anew' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
INSERT INTO intermediary_transition (entity, before, after) VALUES
    ('eligibilityapplication', 'APPLIED', 'APPROVED'), ('eligibilityapplication', 'APPLIED', 'DECLINED'),
    ('eligibilityapplication', 'APPLIED', 'REPLACED'),
    ('eligiblewallet', 'APPROVED', 'ENTERED'), ('eligiblewallet', 'APPROVED', 'SUPERSEDED');
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['eligibilityapplication', 'eligiblewallet'] LOOP
        EXECUTE format('CREATE TRIGGER eligibility_is_fixed BEFORE UPDATE ON bonds_%s
            FOR EACH ROW EXECUTE FUNCTION eligibility_is_fixed()', name);
        EXECUTE format('CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON bonds_%1$s
            FOR EACH ROW EXECUTE FUNCTION only_listed_transitions(''%1$s'')', name);
        EXECUTE format('CREATE TRIGGER refuse_delete BEFORE DELETE ON bonds_%s
            FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        PERFORM protect('bonds_' || name, 'party_id IN (SELECT tenant_parties())');
    END LOOP;
END $$;
