-- A movement below zero can neither be signed nor packed: one row of it would hold up its whole house. Rows that are
-- there are not read through, but changed only so far as that they fail.
ALTER TABLE intermediary_chaininstruction ADD CONSTRAINT instruction_moves_forward CHECK (
    state = 'FAILED' OR amount_base_units > 0 OR (amount_base_units = 0 AND entry_id IS NULL)) NOT VALID;
