DROP TRIGGER election_is_fixed ON bonds_rollforward;
DROP FUNCTION election_is_fixed();
ALTER TABLE bonds_rollforward DROP CONSTRAINT rolled_by_a_bid_of_its_own;
ALTER TABLE bonds_order DROP CONSTRAINT order_of_a_wallet;
