DROP TRIGGER instruction_is_fixed ON intermediary_chaininstruction;
DROP TRIGGER instruction_stays_in_its_cell ON intermediary_chaininstruction;
CREATE TRIGGER instruction_stays_in_its_cell BEFORE INSERT OR UPDATE ON intermediary_chaininstruction
    FOR EACH ROW EXECUTE FUNCTION instruction_stays_in_its_cell();

CREATE FUNCTION entry_balances() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    entry uuid;
    off record;
BEGIN
    entry := CASE TG_TABLE_NAME WHEN 'intermediary_posting' THEN (to_jsonb(NEW) ->> 'entry_id')::uuid ELSE NEW.id END;
    SELECT asset_id, sum(amount_base_units) AS total INTO off
    FROM intermediary_posting WHERE entry_id = entry GROUP BY asset_id HAVING sum(amount_base_units) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry_balances: entry % is off by % in %', entry, off.total, off.asset_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF (SELECT count(*) FROM intermediary_posting WHERE entry_id = entry)
        <> (SELECT line_count FROM intermediary_journalentry WHERE id = entry) THEN
        RAISE EXCEPTION 'entry_balances: entry % has more or fewer lines than it says', entry
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER entry_balances ON intermediary_journalentry;
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON intermediary_journalentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION entry_balances();
DROP FUNCTION entry_was_written();
DROP TRIGGER entry_balances ON intermediary_posting;
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON intermediary_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION entry_balances();
DROP FUNCTION written_entries_balance();

ALTER TABLE intermediary_posting DROP CONSTRAINT posting_account_same_cell_and_asset;
ALTER TABLE intermediary_account DROP CONSTRAINT account_in_cell_of_asset;
ALTER TABLE intermediary_account ADD CONSTRAINT account_of_asset UNIQUE (id, asset_id);
ALTER TABLE intermediary_posting
    ADD CONSTRAINT posting_account_same_cell FOREIGN KEY (cell_id, account_id) REFERENCES intermediary_account (cell_id, id),
    ADD CONSTRAINT posting_account_same_asset FOREIGN KEY (account_id, asset_id) REFERENCES intermediary_account (id, asset_id);

CREATE OR REPLACE FUNCTION row_names_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM name_standings(ARRAY[NEW.cell_id]);
    RETURN NULL;
END $$;
