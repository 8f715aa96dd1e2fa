CREATE OR REPLACE FUNCTION line_was_approved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM intermediary_proposal p WHERE p.id = NEW.proposal_id AND p.kind = 'CREDIT_LINE'
        AND p.state = 'APPROVED' AND p.cell_id = NEW.cell_id
        AND (p.body::jsonb ->> 'threshold_base_units')::numeric = NEW.threshold_base_units
        AND (p.body::jsonb ->> 'first_loss_base_units')::numeric = NEW.first_loss_base_units
        AND (p.body::jsonb ->> 'tail_base_units')::numeric = NEW.tail_base_units
        AND (p.body::jsonb ->> 'senior_base_units')::numeric = NEW.senior_base_units) THEN
        RAISE EXCEPTION 'line_was_approved: no approved proposal says these numbers' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
