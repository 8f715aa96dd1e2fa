-- The references from one cell into another that 0003, 0004 and 0006 left open. A lot's opposite side and the default
-- that reaches it are the only links between relationships (D1), and both are held to the trade they come from.

ALTER TABLE intermediary_lot ADD CONSTRAINT lot_in_cell UNIQUE (cell_id, id);
ALTER TABLE intermediary_uncoveredshare ADD CONSTRAINT uncoveredshare_lot_same_cell
    FOREIGN KEY (cell_id, lot_id) REFERENCES intermediary_lot (cell_id, id);

-- A lot is one leg of its trade: in the cell of one side (or in the account that closes it out), facing the other.
CREATE FUNCTION lot_is_a_side_of_its_trade() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM intermediary_trade t, intermediary_cell c
        WHERE t.id = NEW.trade_id AND c.id = NEW.cell_id AND t.instrument_id = NEW.instrument_id
        AND (coalesce(c.closes_out_id, c.id), NEW.opposite_id, sign(NEW.quantity))
            IN ((t.buyer_id, t.seller_id, 1), (t.seller_id, t.buyer_id, -1))) THEN
        RAISE EXCEPTION 'lot_is_a_side_of_its_trade: cell % facing % is no side of trade %',
            NEW.cell_id, NEW.opposite_id, NEW.trade_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lot_is_a_side_of_its_trade BEFORE INSERT OR UPDATE ON intermediary_lot
    FOR EACH ROW EXECUTE FUNCTION lot_is_a_side_of_its_trade();

-- A verdict on a trade is about one of its sides.
CREATE FUNCTION check_is_of_a_side() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM intermediary_trade WHERE id = NEW.trade_id AND NEW.cell_id IN (buyer_id, seller_id)) THEN
        RAISE EXCEPTION 'check_is_of_a_side: cell % is no side of trade %', NEW.cell_id, NEW.trade_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_is_of_a_side BEFORE INSERT ON intermediary_tradecheck
    FOR EACH ROW EXECUTE FUNCTION check_is_of_a_side();

-- UNCOVERED reaches the lots that face the defaulter, and no other account at all.
CREATE FUNCTION uncovered_reaches_linked_lots() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM intermediary_lot l JOIN intermediary_defaultcase d ON d.cell_id = l.opposite_id
                   WHERE l.id = NEW.lot_id AND d.id = NEW.case_id) THEN
        RAISE EXCEPTION 'uncovered_reaches_linked_lots: lot % does not face the defaulter', NEW.lot_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER uncovered_reaches_linked_lots BEFORE INSERT ON intermediary_uncoveredshare
    FOR EACH ROW EXECUTE FUNCTION uncovered_reaches_linked_lots();

-- For those who point at an instruction together with its target.
ALTER TABLE intermediary_chaininstruction ADD CONSTRAINT chaininstruction_of_target UNIQUE (target_id, id);
