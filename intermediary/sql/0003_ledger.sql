-- The ledger's own laws, in the database: one cell an entry, zero sums, balances kept here, nothing ever rewritten.

-- A reference from one cell into another cannot be represented (I3, I7).
ALTER TABLE intermediary_account ADD CONSTRAINT account_in_cell UNIQUE (cell_id, id);
ALTER TABLE intermediary_account ADD CONSTRAINT account_of_asset UNIQUE (id, asset_id);
ALTER TABLE intermediary_journalentry ADD CONSTRAINT entry_in_cell UNIQUE (cell_id, id);
ALTER TABLE intermediary_posting
    ADD CONSTRAINT posting_account_same_cell FOREIGN KEY (cell_id, account_id) REFERENCES intermediary_account (cell_id, id),
    ADD CONSTRAINT posting_entry_same_cell FOREIGN KEY (cell_id, entry_id) REFERENCES intermediary_journalentry (cell_id, id),
    ADD CONSTRAINT posting_account_same_asset FOREIGN KEY (account_id, asset_id) REFERENCES intermediary_account (id, asset_id),
    ADD CONSTRAINT posting_moves_something CHECK (amount_base_units <> 0);
ALTER TABLE intermediary_journalentry ADD CONSTRAINT entry_has_two_lines CHECK (line_count >= 2);

-- Tokens of clients, retentions and escrows cannot go below zero; nominal and house accounts may.
ALTER TABLE intermediary_account ADD CONSTRAINT account_not_overdrawn CHECK (
    balance_base_units >= 0 OR kind NOT IN
    ('client_margin', 'suspense', 'first_loss', 'senior_retention', 'escrow', 'coupons'));

-- Balances belong to the database: a posting moves them, under the account's row lock, whoever inserts it.
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

-- A new account is empty: nobody is born rich.
CREATE FUNCTION account_starts_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.balance_base_units <> 0 OR NEW.version <> 0 THEN
        RAISE EXCEPTION 'account_starts_empty: a balance comes from postings only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER account_starts_empty BEFORE INSERT ON intermediary_account
    FOR EACH ROW EXECUTE FUNCTION account_starts_empty();

-- An entry balances in every asset, checked when its transaction commits.
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
    -- The entry says how many lines it has: none is missing, and none joins it later.
    IF (SELECT count(*) FROM intermediary_posting WHERE entry_id = entry)
        <> (SELECT line_count FROM intermediary_journalentry WHERE id = entry) THEN
        RAISE EXCEPTION 'entry_balances: entry % has more or fewer lines than it says', entry
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON intermediary_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION entry_balances();
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON intermediary_journalentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION entry_balances();

-- What is written stays written.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'append_only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['journalentry', 'posting', 'auditrecord', 'termsversion', 'callevent', 'defaultevent',
        'layerloss', 'recoveryreceipt', 'closeoutslice', 'valuation', 'mark', 'event', 'uncoveredshare'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON intermediary_%s
            FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON intermediary_%s
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
END $$;
