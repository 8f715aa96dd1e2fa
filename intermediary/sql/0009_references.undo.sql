ALTER TABLE intermediary_chaininstruction DROP CONSTRAINT chaininstruction_of_target;
DROP TRIGGER uncovered_reaches_linked_lots ON intermediary_uncoveredshare;
DROP FUNCTION uncovered_reaches_linked_lots();
DROP TRIGGER check_is_of_a_side ON intermediary_tradecheck;
DROP FUNCTION check_is_of_a_side();
DROP TRIGGER lot_is_a_side_of_its_trade ON intermediary_lot;
DROP FUNCTION lot_is_a_side_of_its_trade();
ALTER TABLE intermediary_uncoveredshare DROP CONSTRAINT uncoveredshare_lot_same_cell;
ALTER TABLE intermediary_lot DROP CONSTRAINT lot_in_cell;
