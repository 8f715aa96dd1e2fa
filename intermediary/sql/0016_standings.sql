-- A third name, beside those of the book: of everything else that a requirement rests on. State of the relationship,
-- signed terms, margin and what is on its way, vaults and what they lock, calls, the credit line, layers, a default.
-- As the others it is written by the change itself and random. Every relationship has one from its first moment on.
INSERT INTO intermediary_bookversion (cell_id, held, settled, standing)
SELECT id, gen_random_uuid(), gen_random_uuid(), gen_random_uuid() FROM intermediary_cell
ON CONFLICT (cell_id) DO NOTHING;

CREATE FUNCTION name_standings(cells uuid[]) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
    INSERT INTO intermediary_bookversion (cell_id, held, settled, standing)
    SELECT cell_id, gen_random_uuid(), gen_random_uuid(), gen_random_uuid()
    FROM (SELECT DISTINCT cell_id FROM unnest(cells) AS cell_id WHERE cell_id IS NOT NULL ORDER BY cell_id) AS named
    ON CONFLICT (cell_id) DO UPDATE SET standing = excluded.standing
$$;
REVOKE ALL ON FUNCTION name_standings(uuid[]) FROM PUBLIC;

-- Rows that appear, change or go. The column that holds the relationship comes as the argument.
CREATE FUNCTION change_names_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE cells uuid[];
BEGIN
    EXECUTE format('SELECT array_agg(DISTINCT %I) FROM changed', TG_ARGV[0]) INTO cells;
    PERFORM name_standings(cells);
    RETURN NULL;
END $$;
DO $$
DECLARE
    changing CONSTANT text[][] := ARRAY[
        ['cell', 'id'], ['termsversion', 'cell_id'], ['chaintarget', 'cell_id'], ['margincall', 'cell_id'],
        ['callincrement', 'cell_id'], ['creditline', 'cell_id'], ['layer', 'cell_id'], ['defaultcase', 'cell_id']];
    item text[];
BEGIN
    FOREACH item SLICE 1 IN ARRAY changing LOOP
        EXECUTE format('CREATE TRIGGER inserted_names_standing AFTER INSERT ON intermediary_%s
            REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION change_names_standing(%L)',
            item[1], item[2]);
        EXECUTE format('CREATE TRIGGER deleted_names_standing AFTER DELETE ON intermediary_%s
            REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION change_names_standing(%L)',
            item[1], item[2]);
        CONTINUE WHEN item[1] = 'chaintarget';  -- its next number is nothing that a requirement rests on
        EXECUTE format('CREATE TRIGGER updated_names_standing AFTER UPDATE ON intermediary_%s
            REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION change_names_standing(%L)',
            item[1], item[2]);
    END LOOP;
END $$;
-- Of accounts only margin counts.
CREATE FUNCTION row_names_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM name_standings(ARRAY[NEW.cell_id]);
    RETURN NULL;
END $$;
CREATE TRIGGER inserted_names_standing AFTER INSERT ON intermediary_account FOR EACH ROW
    WHEN (NEW.kind = 'client_margin') EXECUTE FUNCTION row_names_standing();
CREATE TRIGGER updated_names_standing AFTER UPDATE ON intermediary_account FOR EACH ROW
    WHEN (NEW.kind = 'client_margin' AND OLD.balance_base_units <> NEW.balance_base_units)
    EXECUTE FUNCTION row_names_standing();

CREATE TRIGGER updated_names_standing AFTER UPDATE ON intermediary_chaintarget FOR EACH ROW
    WHEN (OLD.kind <> NEW.kind OR OLD.asset_id <> NEW.asset_id OR OLD.cell_id <> NEW.cell_id)
    EXECUTE FUNCTION row_names_standing();

-- Of instructions: that there is one, and that it has come to an end. On its way it counts all the time.
CREATE FUNCTION instruction_names_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM name_standings(array_agg(DISTINCT cell_id)) FROM changed;
    ELSE
        PERFORM name_standings(array_agg(DISTINCT changed.cell_id))
        FROM changed JOIN before USING (id)
        WHERE (changed.state <> before.state AND
               (changed.state NOT IN ('DRAFT', 'BATCHED', 'INCLUDED')
                OR before.state NOT IN ('DRAFT', 'BATCHED', 'INCLUDED')))
            OR (changed.kind, changed.target_id, changed.amount_base_units, changed.required_base_units)
                IS DISTINCT FROM (before.kind, before.target_id, before.amount_base_units, before.required_base_units);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER inserted_names_standing AFTER INSERT ON intermediary_chaininstruction
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION instruction_names_standing();
CREATE TRIGGER updated_names_standing AFTER UPDATE ON intermediary_chaininstruction
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION instruction_names_standing();

-- Of a party, whether anybody stands behind its debts.
CREATE FUNCTION party_names_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM name_standings(array_agg(id)) FROM intermediary_cell WHERE party_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER updated_names_standing AFTER UPDATE ON intermediary_party FOR EACH ROW
    WHEN (OLD.recourse <> NEW.recourse) EXECUTE FUNCTION party_names_standing();
