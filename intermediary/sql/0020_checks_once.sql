-- The same laws of the ledger, each checked once.
--
-- A posting was held to its cell, account, entry and asset by seven foreign keys, of which two say all: the account of
-- this cell and asset, the entry of this cell. Account and entry themselves lie in a cell, the account in an asset.
ALTER TABLE intermediary_posting DROP CONSTRAINT posting_account_same_asset, DROP CONSTRAINT posting_account_same_cell;
ALTER TABLE intermediary_account DROP CONSTRAINT account_of_asset;
ALTER TABLE intermediary_account ADD CONSTRAINT account_in_cell_of_asset UNIQUE (cell_id, id, asset_id);
ALTER TABLE intermediary_posting ADD CONSTRAINT posting_account_same_cell_and_asset
    FOREIGN KEY (cell_id, account_id, asset_id) REFERENCES intermediary_account (cell_id, id, asset_id);

-- All lines of an entry are written by one statement, which is checked as a whole: every asset sums to zero, and the
-- lines are as many as the entry says, so that none can join it later.
CREATE FUNCTION written_entries_balance() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    off record;
BEGIN
    SELECT entry_id, asset_id, sum(amount_base_units) AS total INTO off
    FROM written GROUP BY entry_id, asset_id HAVING sum(amount_base_units) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry_balances: entry % is off by % in %', off.entry_id, off.total, off.asset_id
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT counted.entry_id INTO off
    FROM (SELECT entry_id, count(*) AS lines FROM written GROUP BY entry_id) AS counted
    JOIN intermediary_journalentry AS entry ON entry.id = counted.entry_id
    WHERE counted.lines <> entry.line_count
       OR EXISTS (SELECT FROM intermediary_posting AS line WHERE line.entry_id = counted.entry_id
                  OFFSET counted.lines)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry_balances: entry % has more or fewer lines than it says', off.entry_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER entry_balances ON intermediary_posting;
CREATE TRIGGER entry_balances AFTER INSERT ON intermediary_posting
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION written_entries_balance();

-- An entry without lines says nothing: that they were written is checked when its transaction commits. How many, and
-- that they balance, was checked when they were.
CREATE FUNCTION entry_was_written() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM intermediary_posting WHERE entry_id = NEW.id) THEN
        RAISE EXCEPTION 'entry_balances: entry % has more or fewer lines than it says', NEW.id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER entry_balances ON intermediary_journalentry;
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON intermediary_journalentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION entry_was_written();
DROP FUNCTION entry_balances();

-- An instruction is looked at when it is written, and again only when what is fixed of it would change.
DROP TRIGGER instruction_stays_in_its_cell ON intermediary_chaininstruction;
CREATE TRIGGER instruction_stays_in_its_cell BEFORE INSERT ON intermediary_chaininstruction
    FOR EACH ROW EXECUTE FUNCTION instruction_stays_in_its_cell();
CREATE TRIGGER instruction_is_fixed BEFORE UPDATE ON intermediary_chaininstruction FOR EACH ROW
    WHEN ((NEW.target_id, NEW.cell_id, NEW.seq, NEW.kind, NEW.amount_base_units, NEW.required_base_units, NEW.arguments,
           NEW.entry_id) IS DISTINCT FROM (OLD.target_id, OLD.cell_id, OLD.seq, OLD.kind, OLD.amount_base_units,
           OLD.required_base_units, OLD.arguments, OLD.entry_id))
    EXECUTE FUNCTION instruction_stays_in_its_cell();

-- Naming one relationship's standing anew, for each row of an account: a statement of this function's own is planned
-- once a session, one inside a function of language SQL at every call.
CREATE OR REPLACE FUNCTION row_names_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO intermediary_bookversion (cell_id, held, settled, standing)
    SELECT NEW.cell_id, gen_random_uuid(), gen_random_uuid(), gen_random_uuid() WHERE NEW.cell_id IS NOT NULL
    ON CONFLICT (cell_id) DO UPDATE SET standing = excluded.standing;
    RETURN NULL;
END $$;
