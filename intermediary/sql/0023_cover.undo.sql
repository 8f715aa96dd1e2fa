DELETE FROM intermediary_transition WHERE entity = 'creditline' AND before = 'AWAITING';
-- A line is what two people approved, all of it: its day and its estimate too; from then on only its state changes.
CREATE OR REPLACE FUNCTION line_was_approved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF to_jsonb(NEW) - 'state' IS DISTINCT FROM to_jsonb(OLD) - 'state' THEN
            RAISE EXCEPTION 'line_is_fixed: only its state may change' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    -- Without an estimate of its own, a line carries the house's standard one.
    IF NEW.state <> 'ACTIVE' OR NOT EXISTS (
        SELECT FROM intermediary_proposal p WHERE p.id = NEW.proposal_id AND p.kind = 'CREDIT_LINE'
        AND p.state = 'APPROVED' AND p.cell_id = NEW.cell_id
        AND (p.body::jsonb ->> 'threshold_base_units')::numeric = NEW.threshold_base_units
        AND (p.body::jsonb ->> 'first_loss_base_units')::numeric = NEW.first_loss_base_units
        AND (p.body::jsonb ->> 'tail_base_units')::numeric = NEW.tail_base_units
        AND (p.body::jsonb ->> 'senior_base_units')::numeric = NEW.senior_base_units
        AND (p.body::jsonb ->> 'expires_at')::timestamptz = NEW.expires_at
        AND coalesce((p.body::jsonb ->> 'default_intensity_annual')::numeric, 0.06) = NEW.default_intensity_annual) THEN
        RAISE EXCEPTION 'line_was_approved: no approved proposal says these numbers' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
