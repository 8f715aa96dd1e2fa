-- The same laws of the ledger for all lines that one statement writes, checked at once instead of line by line.
--
-- A line says what its account held before and after it, and which of the account's lines it is. Whoever writes lines
-- counts that (`accounts_to_write`), and the database takes it only if every account goes on from exactly what it holds:
-- no number is left out or used twice, nothing is lost between two lines, no balance is older than the account's.
ALTER TABLE intermediary_posting ADD CONSTRAINT posting_adds_up
    CHECK (balance_after_base_units = balance_before_base_units + amount_base_units);

-- Accounts, held still until the transaction ends, in an order in which no two writers wait for each other. Nobody but
-- the owner may update an account, which locking it would need.
CREATE FUNCTION accounts_to_write(cells uuid[], kinds text[]) RETURNS SETOF intermediary_account
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN QUERY SELECT * FROM intermediary_account WHERE cell_id = ANY (cells) AND kind = ANY (kinds)
        ORDER BY id FOR NO KEY UPDATE;
END $$;
REVOKE ALL ON FUNCTION accounts_to_write(uuid[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts_to_write(uuid[], text[]) TO bulkhead_worker;

-- A single line without a number is counted here, as the next one of its account.
DROP TRIGGER posting_moves_balance ON intermediary_posting;
DROP FUNCTION posting_moves_balance();
CREATE FUNCTION posting_is_counted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    held intermediary_account;
BEGIN
    SELECT * INTO held FROM intermediary_account WHERE id = NEW.account_id AND cell_id = NEW.cell_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'posting_account_same_cell: account % is not in cell %', NEW.account_id, NEW.cell_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    NEW.balance_before_base_units := held.balance_base_units;
    NEW.balance_after_base_units := held.balance_base_units + NEW.amount_base_units;
    NEW.version := held.version + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER posting_is_counted BEFORE INSERT ON intermediary_posting
    FOR EACH ROW WHEN (NEW.version = 0) EXECUTE FUNCTION posting_is_counted();

-- Balances belong to the database: the lines of a statement move them, and only from what the account holds. `held` is
-- what each line, with those before it in this statement, takes for that; where lines of one account do not agree about
-- it, or the account holds something else by now, they are refused. So is a line after which an account is overdrawn,
-- also when a later one makes up for it. Its name puts this before the trigger that looks at the entries.
CREATE FUNCTION balances_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    is_stale boolean;
    overdrawn text;
BEGIN
    WITH held AS (
        SELECT account_id, amount_base_units, balance_after_base_units, version - row_number() OVER earlier AS version,
            balance_after_base_units - sum(amount_base_units) OVER earlier AS balance_base_units
        FROM written
        WINDOW earlier AS (PARTITION BY account_id ORDER BY version ROWS UNBOUNDED PRECEDING)
    ), change AS (
        SELECT account_id, version, balance_base_units, count(*) AS lines, sum(amount_base_units) AS amount_base_units,
            min(balance_after_base_units) AS lowest_base_units
        FROM held GROUP BY account_id, version, balance_base_units
    ), moved AS (
        UPDATE intermediary_account AS account
        SET balance_base_units = account.balance_base_units + change.amount_base_units,
            version = account.version + change.lines
        FROM change
        WHERE account.id = change.account_id
            AND (account.version, account.balance_base_units) = (change.version, change.balance_base_units)
        RETURNING account.kind, change.lowest_base_units
    )
    SELECT (SELECT count(*) FROM moved) <> (SELECT count(*) FROM change),
        (SELECT min(kind) FROM moved WHERE lowest_base_units < 0 AND kind IN
            ('client_margin', 'suspense', 'first_loss', 'senior_retention', 'escrow', 'coupons'))
    INTO is_stale, overdrawn;
    IF is_stale THEN
        RAISE EXCEPTION 'balances_move: lines do not go on from what their account holds'
            USING ERRCODE = 'check_violation';
    END IF;
    IF overdrawn IS NOT NULL THEN
        RAISE EXCEPTION 'account_not_overdrawn: % would go below zero', overdrawn USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER balances_move AFTER INSERT ON intermediary_posting
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION balances_move();

-- Standings are named anew once a statement, under one random name for all three where there was none.
CREATE OR REPLACE FUNCTION name_standings(cells uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO intermediary_bookversion (cell_id, held, settled, standing)
    SELECT cell_id, name, name, name FROM (
        SELECT cell_id, gen_random_uuid() AS name
        FROM (SELECT DISTINCT cell_id FROM unnest(cells) AS cell_id WHERE cell_id IS NOT NULL ORDER BY cell_id) AS told
    ) AS named
    ON CONFLICT (cell_id) DO UPDATE SET standing = excluded.standing;
END $$;
CREATE FUNCTION margin_names_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM name_standings(array_agg(cell_id)) FROM (
        SELECT id, cell_id, balance_base_units FROM changed WHERE kind = 'client_margin'
        EXCEPT SELECT id, cell_id, balance_base_units FROM before) AS moved;
    RETURN NULL;
END $$;
DROP TRIGGER updated_names_standing ON intermediary_account;
CREATE TRIGGER updated_names_standing AFTER UPDATE ON intermediary_account
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION margin_names_standing();

-- Statements inside a trigger keep the plan of their first use in a session. That may have been a change of one row, for
-- which comparing every row with every other is best; two hundred rows are 40,000 comparisons.
ALTER FUNCTION instruction_names_standing() SET enable_nestloop = off;
ALTER FUNCTION only_listed_changes() SET enable_nestloop = off;
