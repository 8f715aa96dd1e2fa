-- What becomes of an election to roll forward: its bid is of the same holder, wallet and class, and no more rolls than was
-- paid for that bid's notes.
ALTER TABLE bonds_order ADD CONSTRAINT order_of_a_wallet UNIQUE (id, party_id, wallet_id, tranche_id);
ALTER TABLE bonds_rollforward ADD CONSTRAINT rolled_by_a_bid_of_its_own
    FOREIGN KEY (order_id, party_id, wallet_id, into_id) REFERENCES bonds_order (id, party_id, wallet_id, tranche_id);

CREATE FUNCTION election_is_fixed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF OLD.state <> 'ELECTED' OR (NEW.tranche_id, NEW.party_id, NEW.wallet_id, NEW.into_id, NEW.minimum_spread_bps, NEW.at)
        IS DISTINCT FROM (OLD.tranche_id, OLD.party_id, OLD.wallet_id, OLD.into_id, OLD.minimum_spread_bps, OLD.at)
        OR NEW.amount_base_units < OLD.amount_base_units THEN
        RAISE EXCEPTION 'election_is_fixed: what was elected, noted or decided does not change'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'APPLIED' AND (NEW.rolled_base_units = 0 OR NEW.applied_at IS NULL OR NEW.rolled_base_units + (
        SELECT coalesce(sum(r.rolled_base_units), 0) FROM bonds_rollforward r WHERE r.order_id = NEW.order_id AND r.id <> NEW.id)
        > (SELECT coalesce(sum(a.paid_units), 0) FROM bonds_allocation a WHERE a.order_id = NEW.order_id)) THEN
        RAISE EXCEPTION 'no_more_rolled_than_paid: so much was not paid for the notes of its bid'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER election_is_fixed BEFORE UPDATE ON bonds_rollforward FOR EACH ROW EXECUTE FUNCTION election_is_fixed();
