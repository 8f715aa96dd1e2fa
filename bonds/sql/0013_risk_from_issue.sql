-- Only what was noticed after the issue writes down (B5): a default while the notes were sold is no event of theirs.
CREATE OR REPLACE FUNCTION events_of_the_risk_period_only() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.net_loss_base_units > (
        SELECT coalesce(sum(c.loss_base_units), 0) FROM intermediary_defaultcase c
        JOIN bonds_slice s ON s.id = NEW.slice_id AND s.cell_id = c.cell_id JOIN bonds_series r ON r.id = s.series_id
        WHERE c.noticed_at BETWEEN greatest(r.risk_from, r.issued_at) AND least(r.risk_until, coalesce(r.risk_ended_at, r.risk_until))) THEN
        RAISE EXCEPTION 'events_of_the_risk_period_only: no default of the risk period has this loss'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
