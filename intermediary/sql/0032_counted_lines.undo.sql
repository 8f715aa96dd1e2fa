ALTER FUNCTION only_listed_changes() RESET enable_nestloop;
ALTER FUNCTION instruction_names_standing() RESET enable_nestloop;

DROP TRIGGER updated_names_standing ON intermediary_account;
DROP FUNCTION margin_names_standing();
CREATE TRIGGER updated_names_standing AFTER UPDATE ON intermediary_account FOR EACH ROW
    WHEN (NEW.kind = 'client_margin' AND OLD.balance_base_units <> NEW.balance_base_units)
    EXECUTE FUNCTION row_names_standing();
CREATE OR REPLACE FUNCTION name_standings(cells uuid[]) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
    INSERT INTO intermediary_bookversion (cell_id, held, settled, standing)
    SELECT cell_id, gen_random_uuid(), gen_random_uuid(), gen_random_uuid()
    FROM (SELECT DISTINCT cell_id FROM unnest(cells) AS cell_id WHERE cell_id IS NOT NULL ORDER BY cell_id) AS named
    ON CONFLICT (cell_id) DO UPDATE SET standing = excluded.standing
$$;

DROP TRIGGER balances_move ON intermediary_posting;
DROP FUNCTION balances_move();
DROP TRIGGER posting_is_counted ON intermediary_posting;
DROP FUNCTION posting_is_counted();
CREATE FUNCTION posting_moves_balance() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    moved intermediary_account;
BEGIN
    UPDATE intermediary_account
    SET balance_base_units = balance_base_units + NEW.amount_base_units, version = version + 1
    WHERE id = NEW.account_id AND cell_id = NEW.cell_id
    RETURNING * INTO moved;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'posting_account_same_cell: account % is not in cell %', NEW.account_id, NEW.cell_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    NEW.balance_after_base_units := moved.balance_base_units;
    NEW.balance_before_base_units := moved.balance_base_units - NEW.amount_base_units;
    NEW.version := moved.version;
    RETURN NEW;
END $$;
CREATE TRIGGER posting_moves_balance BEFORE INSERT ON intermediary_posting
    FOR EACH ROW EXECUTE FUNCTION posting_moves_balance();
DROP FUNCTION accounts_to_write(uuid[], text[]);
ALTER TABLE intermediary_posting DROP CONSTRAINT posting_adds_up;
