-- A verdict on a trade and a payment of variation margin are their own relationship's, and no one else's to read.
SELECT protect('intermediary_tradecheck', 'cell_id IN (SELECT tenant_cells())');
SELECT protect('intermediary_variationpayment', 'cell_id IN (SELECT tenant_cells())');

-- A payment names a movement of its own cell (I3).
ALTER TABLE intermediary_chaininstruction ADD CONSTRAINT chaininstruction_in_cell UNIQUE (cell_id, id);
ALTER TABLE intermediary_variationpayment ADD CONSTRAINT variationpayment_instruction_same_cell
    FOREIGN KEY (cell_id, instruction_id) REFERENCES intermediary_chaininstruction (cell_id, id);

-- A verdict stays as it was given.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON intermediary_tradecheck
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON intermediary_tradecheck
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
