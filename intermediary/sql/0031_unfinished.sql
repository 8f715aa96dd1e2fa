-- An unfinished instruction changes its state twice before its end, two hundred rows in one statement: its page keeps
-- room for that (see the indexes of the model), and a statement's changes are looked at together.
ALTER TABLE intermediary_chaininstruction SET (fillfactor = 40);

CREATE FUNCTION only_listed_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    off record;
BEGIN
    -- A row whose key changed has no state before, and nothing is listed from there.
    SELECT before.state AS before, changed.state AS after INTO off
    FROM changed LEFT JOIN before USING (id)
    WHERE changed.state IS DISTINCT FROM before.state AND NOT EXISTS (
        SELECT FROM intermediary_transition AS listed
        WHERE listed.entity = TG_ARGV[0] AND listed.before = before.state AND listed.after = changed.state)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transition_not_listed: % from % to %', TG_ARGV[0], off.before, off.after
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER only_listed_transitions ON intermediary_chaininstruction;
CREATE TRIGGER only_listed_changes AFTER UPDATE ON intermediary_chaininstruction
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION only_listed_changes('chaininstruction');
