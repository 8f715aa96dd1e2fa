-- A bid is sealed while the book is open and opened only after it: before the close no row holds an amount.
CREATE FUNCTION bids_are_sealed_until_the_close() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    sale bonds_offering;
BEGIN
    SELECT o.* INTO sale FROM bonds_offering o JOIN bonds_tranche t ON t.series_id = o.series_id WHERE t.id = NEW.tranche_id;
    IF TG_OP = 'INSERT' THEN
        IF sale.state IS DISTINCT FROM 'OPEN' OR platform_now() >= sale.commits_until THEN
            RAISE EXCEPTION 'book_is_closed: no bid is taken now' USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.opening <> '' OR NEW.nonce <> '' OR NEW.state <> 'PLACED' OR NEW.commitment !~ '^[0-9a-f]{64}$' THEN
            RAISE EXCEPTION 'bids_are_sealed: a bid enters the book as a commitment' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.tranche_id, NEW.party_id, NEW.wallet_id, NEW.commitment, NEW.conflicts, NEW.at) IS DISTINCT FROM
        (OLD.tranche_id, OLD.party_id, OLD.wallet_id, OLD.commitment, OLD.conflicts, OLD.at) THEN
        RAISE EXCEPTION 'bid_is_fixed: a bid does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.opening IS DISTINCT FROM OLD.opening OR NEW.nonce IS DISTINCT FROM OLD.nonce THEN
        IF OLD.opening <> '' OR NEW.commitment <> encode(sha256(convert_to(NEW.opening, 'UTF8')), 'hex') THEN
            RAISE EXCEPTION 'reveal_does_not_match: the opening is not what was sealed' USING ERRCODE = 'check_violation';
        END IF;
        IF sale.state IS DISTINCT FROM 'CLOSED' OR platform_now() >= sale.reveals_until THEN
            RAISE EXCEPTION 'bids_are_sealed: bids are revealed after the close and in time' USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bids_are_sealed_until_the_close BEFORE INSERT OR UPDATE ON bonds_order
    FOR EACH ROW EXECUTE FUNCTION bids_are_sealed_until_the_close();

-- What was announced stays; the report is written once and is what its hash says.
CREATE FUNCTION offering_is_what_was_announced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.series_id, NEW.opens_at, NEW.commits_until, NEW.reveals_until, NEW.pays_until, NEW.ends_at, NEW.rules)
        IS DISTINCT FROM (OLD.series_id, OLD.opens_at, OLD.commits_until, OLD.reveals_until, OLD.pays_until, OLD.ends_at,
        OLD.rules) OR OLD.report <> '' AND NEW.report <> OLD.report THEN
        RAISE EXCEPTION 'offering_is_fixed: what was announced or reported does not change'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.report <> '' AND NEW.report_hash <> encode(sha256(convert_to(NEW.report, 'UTF8')), 'hex') THEN
        RAISE EXCEPTION 'report_matches_hash: the hash is not that of the report' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER offering_is_what_was_announced BEFORE UPDATE ON bonds_offering
    FOR EACH ROW EXECUTE FUNCTION offering_is_what_was_announced();

CREATE FUNCTION offered_class_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.offering_id, NEW.tranche_id, NEW.target_base_units, NEW.limit_base_units, NEW.cap_base_units, NEW.bidders_min)
        IS DISTINCT FROM (OLD.offering_id, OLD.tranche_id, OLD.target_base_units, OLD.limit_base_units, OLD.cap_base_units,
        OLD.bidders_min) OR OLD.size_base_units IS NOT NULL AND NEW.size_base_units IS DISTINCT FROM OLD.size_base_units THEN
        RAISE EXCEPTION 'offering_is_fixed: what was announced or sold does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER offered_class_is_fixed BEFORE UPDATE ON bonds_offeredclass
    FOR EACH ROW EXECUTE FUNCTION offered_class_is_fixed();

CREATE FUNCTION allocation_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.order_id, NEW.tranche_id, NEW.party_id, NEW.payment_round, NEW.units, NEW.spread_bps)
        IS DISTINCT FROM (OLD.order_id, OLD.tranche_id, OLD.party_id, OLD.payment_round, OLD.units, OLD.spread_bps)
        OR NEW.paid_units < OLD.paid_units THEN
        RAISE EXCEPTION 'allocation_is_fixed: an allocation does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER allocation_is_fixed BEFORE UPDATE ON bonds_allocation
    FOR EACH ROW EXECUTE FUNCTION allocation_is_fixed();
ALTER TABLE bonds_allocation ADD CONSTRAINT paid_allocation_is_paid_in_full CHECK (state <> 'PAID' OR paid_units = units);

CREATE TRIGGER covered_parties_are_barred BEFORE INSERT ON bonds_notepayment
    FOR EACH ROW EXECUTE FUNCTION covered_parties_are_barred();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON bonds_notepayment FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON bonds_notepayment
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE ON bonds_notepayment FROM bulkhead_worker;

-- Upsizing sells more of the same layer, only while its book is being cleared, and leaves the intermediary its twentieth.
CREATE OR REPLACE FUNCTION layer_of_a_slice_is_fixed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    series uuid;
BEGIN
    IF (NEW.attach_base_units, NEW.detach_base_units) IS DISTINCT FROM (OLD.attach_base_units, OLD.detach_base_units) THEN
        RAISE EXCEPTION 'layer_of_a_slice_is_fixed' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.principal_base_units <> OLD.principal_base_units THEN
        IF TG_TABLE_NAME = 'bonds_slice' THEN
            series := (to_jsonb(NEW) ->> 'series_id')::uuid;
        ELSE
            SELECT series_id INTO series FROM bonds_slice WHERE id = (to_jsonb(NEW) ->> 'slice_id')::uuid;
        END IF;
        IF NEW.principal_base_units < OLD.principal_base_units
            OR NEW.principal_base_units * 10000 > (NEW.detach_base_units - NEW.attach_base_units) * 9500
            OR NOT EXISTS (SELECT FROM bonds_series s JOIN bonds_offering o ON o.series_id = s.id
                WHERE s.id = series AND s.state = 'MARKETING' AND o.state = 'PRICED') THEN
            RAISE EXCEPTION 'layer_of_a_slice_is_fixed' USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;

DELETE FROM intermediary_transition WHERE entity = 'bondorder' AND before = 'PLACED' AND after IN ('ALLOCATED', 'UNFILLED');
INSERT INTO intermediary_transition (entity, before, after) VALUES
    ('bondorder', 'PLACED', 'REVEALED'), ('bondorder', 'PLACED', 'UNREVEALED'), ('bondorder', 'PLACED', 'BARRED'),
    ('bondorder', 'REVEALED', 'BARRED'), ('bondorder', 'REVEALED', 'ALLOCATED'), ('bondorder', 'REVEALED', 'UNFILLED'),
    ('bondorder', 'UNFILLED', 'ALLOCATED'),
    ('allocation', 'DUE', 'PAID'), ('allocation', 'DUE', 'FAILED'),
    ('offering', 'ANNOUNCED', 'GUIDANCE'), ('offering', 'GUIDANCE', 'OPEN'), ('offering', 'OPEN', 'CLOSED'),
    ('offering', 'CLOSED', 'PRICED'), ('offering', 'PRICED', 'ALLOCATED'), ('offering', 'ALLOCATED', 'SETTLED'),
    ('offering', 'ANNOUNCED', 'PULLED'), ('offering', 'GUIDANCE', 'PULLED'), ('offering', 'OPEN', 'PULLED'),
    ('offering', 'CLOSED', 'PULLED'), ('offering', 'PRICED', 'PULLED'), ('offering', 'ALLOCATED', 'PULLED');
CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON bonds_offering
    FOR EACH ROW EXECUTE FUNCTION only_listed_transitions('offering');
CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON bonds_allocation
    FOR EACH ROW EXECUTE FUNCTION only_listed_transitions('allocation');

SELECT protect('bonds_offering', 'series_id IN (SELECT id FROM bonds_series)');
SELECT protect('bonds_offeredclass', 'tranche_id IN (SELECT id FROM bonds_tranche)');
SELECT protect('bonds_notepayment', 'party_id IN (SELECT tenant_parties())');
