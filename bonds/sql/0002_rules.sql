-- Bonds: what the database refuses by itself, and who sees what.

-- A slice and its acts stay in their cell (I3).
ALTER TABLE bonds_slice ADD CONSTRAINT slice_in_cell UNIQUE (cell_id, id);
ALTER TABLE bonds_sliceact ADD CONSTRAINT sliceact_slice_same_cell
    FOREIGN KEY (cell_id, slice_id) REFERENCES bonds_slice (cell_id, id);

-- Terms are what their hash says, and never change; an act keeps its amounts.
CREATE FUNCTION series_is_what_was_published() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.terms_hash <> encode(sha256(convert_to(NEW.terms, 'UTF8')), 'hex') THEN
        RAISE EXCEPTION 'series_matches_hash: the hash is not that of the terms' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.code, NEW.terms, NEW.issue_date, NEW.scheduled_maturity, NEW.final_maturity, NEW.risk_from,
            NEW.risk_until, NEW.challenge_seconds, NEW.collateral_yield_annual) IS DISTINCT FROM (OLD.code, OLD.terms,
            OLD.issue_date, OLD.scheduled_maturity, OLD.final_maturity, OLD.risk_from, OLD.risk_until,
            OLD.challenge_seconds, OLD.collateral_yield_annual) THEN
        RAISE EXCEPTION 'series_is_fixed: the terms of a series do not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER series_is_what_was_published BEFORE INSERT OR UPDATE ON bonds_series
    FOR EACH ROW EXECUTE FUNCTION series_is_what_was_published();

CREATE FUNCTION layer_of_a_slice_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.attach_base_units, NEW.detach_base_units, NEW.principal_base_units)
        IS DISTINCT FROM (OLD.attach_base_units, OLD.detach_base_units, OLD.principal_base_units) THEN
        RAISE EXCEPTION 'layer_of_a_slice_is_fixed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER layer_is_fixed BEFORE UPDATE ON bonds_slice FOR EACH ROW EXECUTE FUNCTION layer_of_a_slice_is_fixed();
CREATE TRIGGER layer_is_fixed BEFORE UPDATE ON bonds_slicepart FOR EACH ROW EXECUTE FUNCTION layer_of_a_slice_is_fixed();

-- The reference client and its affiliates hold nothing of the series (B3), by whatever path it is written.
CREATE FUNCTION covered_parties_are_barred() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF EXISTS (
        SELECT FROM bonds_tranche t JOIN bonds_slice s ON s.series_id = t.series_id JOIN intermediary_cell c ON c.id = s.cell_id
        WHERE t.id = NEW.tranche_id AND (c.party_id = NEW.party_id OR EXISTS (
            SELECT FROM intermediary_affiliation a
            WHERE (a.party_id, a.affiliate_id) IN ((c.party_id, NEW.party_id), (NEW.party_id, c.party_id))))) THEN
        RAISE EXCEPTION 'covered_parties_are_barred: a covered client or its affiliate' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['order', 'allocation', 'holding'] LOOP
        EXECUTE format('CREATE TRIGGER covered_parties_are_barred BEFORE INSERT OR UPDATE OF party_id ON bonds_%s
            FOR EACH ROW EXECUTE FUNCTION covered_parties_are_barred()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['seriesevent', 'slicemark', 'notemark'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON bonds_%s
            FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON bonds_%s
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('REVOKE UPDATE ON bonds_%s FROM bulkhead_worker', name);
    END LOOP;
END $$;

-- Only the listed transitions exist (W2).
INSERT INTO intermediary_transition (entity, before, after) VALUES
    ('series', 'STRUCTURING', 'MARKETING'), ('series', 'MARKETING', 'PRICED'), ('series', 'MARKETING', 'PULLED'),
    ('series', 'PRICED', 'ISSUED'), ('series', 'PRICED', 'PULLED'), ('series', 'ISSUED', 'ON_RISK'),
    ('series', 'ON_RISK', 'EVENT_OPEN'), ('series', 'EVENT_OPEN', 'ON_RISK'), ('series', 'ON_RISK', 'MATURED'),
    ('series', 'EVENT_OPEN', 'EXTENDED'), ('series', 'EXTENDED', 'MATURED'), ('series', 'MATURED', 'REDEEMED'),
    ('series', 'MATURED', 'WRITTEN_OFF'),
    ('bondorder', 'PLACED', 'ALLOCATED'), ('bondorder', 'PLACED', 'UNFILLED'), ('bondorder', 'PLACED', 'WITHDRAWN'),
    ('sliceact', 'NOTICED', 'CHALLENGE'), ('sliceact', 'CHALLENGE', 'MOVING'), ('sliceact', 'MOVING', 'DONE');
CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON bonds_series
    FOR EACH ROW EXECUTE FUNCTION only_listed_transitions('series');
CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON bonds_order
    FOR EACH ROW EXECUTE FUNCTION only_listed_transitions('bondorder');
CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON bonds_sliceact
    FOR EACH ROW EXECUTE FUNCTION only_listed_transitions('sliceact');

-- Published series are everyone's to read; orders, allocations and holdings are each investor's own.
SELECT protect('bonds_series', 'state <> ''STRUCTURING''');
SELECT protect('bonds_tranche', 'series_id IN (SELECT id FROM bonds_series)');
SELECT protect('bonds_slice', 'series_id IN (SELECT id FROM bonds_series)');
SELECT protect('bonds_slicepart', 'slice_id IN (SELECT id FROM bonds_slice)');
SELECT protect('bonds_sliceact', 'slice_id IN (SELECT id FROM bonds_slice)');
SELECT protect('bonds_seriesevent', 'series_id IN (SELECT id FROM bonds_series)');
SELECT protect('bonds_slicemark', 'slice_id IN (SELECT id FROM bonds_slice)');
SELECT protect('bonds_notemark', 'tranche_id IN (SELECT id FROM bonds_tranche)');
SELECT protect('bonds_order', 'party_id IN (SELECT tenant_parties())');
SELECT protect('bonds_allocation', 'party_id IN (SELECT tenant_parties())');
SELECT protect('bonds_holding', 'party_id IN (SELECT tenant_parties())');
