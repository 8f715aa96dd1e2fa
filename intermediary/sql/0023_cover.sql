-- A line is what two people approved, all of it, as before; and one that is approved together with the offering that
-- would cover it waits, then takes force behind the tail it waited for, or lapses.
INSERT INTO intermediary_transition (entity, before, after) VALUES
    ('creditline', 'AWAITING', 'ACTIVE'), ('creditline', 'AWAITING', 'LAPSED');

CREATE OR REPLACE FUNCTION line_was_approved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF to_jsonb(NEW) - 'state' IS DISTINCT FROM to_jsonb(OLD) - 'state' THEN
            RAISE EXCEPTION 'line_is_fixed: only its state may change' USING ERRCODE = 'restrict_violation';
        END IF;
        IF OLD.state = 'AWAITING' AND NEW.state = 'ACTIVE' AND NOT EXISTS (
            SELECT FROM intermediary_layer l JOIN intermediary_proposal p ON p.id = NEW.proposal_id
            WHERE l.cell_id = NEW.cell_id AND l.kind = 'TAIL' AND l.funded
            AND l.slice_id::text = p.body::jsonb ->> 'slice_id') THEN
            RAISE EXCEPTION 'cover_before_force: the tail of this line is not paid for' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    -- Without an estimate of its own, a line carries the house's standard one.
    IF NOT EXISTS (
        SELECT FROM intermediary_proposal p WHERE p.id = NEW.proposal_id AND p.kind = 'CREDIT_LINE'
        AND NEW.state = CASE WHEN (p.body::jsonb ->> 'awaits_cover')::boolean THEN 'AWAITING' ELSE 'ACTIVE' END
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
