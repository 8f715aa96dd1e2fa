-- Payments of a series: what the database refuses by itself, and who sees what.

-- Coupons, charges, redemptions and reserves stay in their cell (I3), and name instructions of it only.
ALTER TABLE bonds_slicepart ADD CONSTRAINT part_in_slice UNIQUE (slice_id, id);
ALTER TABLE bonds_redemption ADD CONSTRAINT redemption_part_same_slice
    FOREIGN KEY (slice_id, part_id) REFERENCES bonds_slicepart (slice_id, id);
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['couponpart', 'spreadcharge', 'redemption', 'reserve'] LOOP
        EXECUTE format('ALTER TABLE bonds_%1$s ADD CONSTRAINT %1$s_slice_same_cell
            FOREIGN KEY (cell_id, slice_id) REFERENCES bonds_slice (cell_id, id)', name);
        IF name <> 'reserve' THEN
            EXECUTE format('ALTER TABLE bonds_%1$s ADD CONSTRAINT %1$s_movement_same_cell
                FOREIGN KEY (cell_id, movement_id) REFERENCES intermediary_chaininstruction (cell_id, id)', name);
        END IF;
    END LOOP;
END $$;

-- A coupon keeps its figures once it is on its way; a redemption keeps its amount.
CREATE FUNCTION payment_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving text[] := ARRAY['state', 'paid_at', 'done_at', 'movement_id'];
BEGIN
    IF coalesce(to_jsonb(OLD) ->> 'state', '') <> 'PLANNED' AND to_jsonb(NEW) - moving IS DISTINCT FROM to_jsonb(OLD) - moving THEN
        RAISE EXCEPTION 'payment_is_fixed: what was paid does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_is_fixed BEFORE UPDATE ON bonds_couponrun FOR EACH ROW EXECUTE FUNCTION payment_is_fixed();
CREATE TRIGGER payment_is_fixed BEFORE UPDATE ON bonds_redemption FOR EACH ROW EXECUTE FUNCTION payment_is_fixed();

-- The risk period ends once, and nothing moves its end afterwards.
CREATE FUNCTION risk_period_ends_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.risk_ended_at IS NOT NULL AND NEW.risk_ended_at IS DISTINCT FROM OLD.risk_ended_at THEN
        RAISE EXCEPTION 'risk_period_ends_once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER risk_period_ends_once BEFORE UPDATE OF risk_ended_at ON bonds_series
    FOR EACH ROW EXECUTE FUNCTION risk_period_ends_once();

-- Only what was noticed inside the risk period writes down (B5), by whatever path it is written.
CREATE FUNCTION events_of_the_risk_period_only() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.net_loss_base_units > (
        SELECT coalesce(sum(c.loss_base_units), 0) FROM intermediary_defaultcase c
        JOIN bonds_slice s ON s.id = NEW.slice_id AND s.cell_id = c.cell_id JOIN bonds_series r ON r.id = s.series_id
        WHERE c.noticed_at BETWEEN r.risk_from AND least(r.risk_until, coalesce(r.risk_ended_at, r.risk_until))) THEN
        RAISE EXCEPTION 'events_of_the_risk_period_only: no default of the risk period has this loss'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER events_of_the_risk_period_only AFTER INSERT ON bonds_sliceact
    FOR EACH ROW WHEN (NEW.kind = 'WRITE_DOWN') EXECUTE FUNCTION events_of_the_risk_period_only();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['couponpart', 'couponpayment', 'spreadcharge', 'reserve', 'holdernotice', 'holderclaim'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON bonds_%s
            FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON bonds_%s
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('REVOKE UPDATE ON bonds_%s FROM bulkhead_worker', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['couponrun', 'redemption', 'rollforward'] LOOP
        EXECUTE format('CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON bonds_%1$s
            FOR EACH ROW EXECUTE FUNCTION only_listed_transitions(''%1$s'')', name);
    END LOOP;
END $$;
INSERT INTO intermediary_transition (entity, before, after) VALUES
    ('couponrun', 'PLANNED', 'MOVING'), ('couponrun', 'PLANNED', 'PAID'), ('couponrun', 'PLANNED', 'CANCELLED'),
    ('couponrun', 'MOVING', 'PAID'), ('redemption', 'MOVING', 'DONE'),
    ('rollforward', 'ELECTED', 'WITHDRAWN'), ('rollforward', 'ELECTED', 'APPLIED'), ('rollforward', 'ELECTED', 'LAPSED'),
    ('series', 'ON_RISK', 'EXTENDED'), ('series', 'EVENT_OPEN', 'MATURED'),
    ('sliceact', 'NOTICED', 'LAPSED'), ('sliceact', 'CHALLENGE', 'LAPSED');

-- What a series pays is everyone's to read; what a relationship was charged is its own, what a holder got is the holder's.
SELECT protect('bonds_couponrun', 'tranche_id IN (SELECT id FROM bonds_tranche)');
SELECT protect('bonds_redemption', 'slice_id IN (SELECT id FROM bonds_slice)');
SELECT protect('bonds_reserve', 'slice_id IN (SELECT id FROM bonds_slice)');
SELECT protect('bonds_couponpart', 'cell_id IN (SELECT tenant_cells())');
SELECT protect('bonds_spreadcharge', 'cell_id IN (SELECT tenant_cells())');
SELECT protect('bonds_couponpayment', 'party_id IN (SELECT tenant_parties())');
SELECT protect('bonds_rollforward', 'party_id IN (SELECT tenant_parties())');
SELECT protect('bonds_holdernotice', 'party_id IN (SELECT tenant_parties())');
SELECT protect('bonds_holderclaim', 'party_id IN (SELECT tenant_parties())');
