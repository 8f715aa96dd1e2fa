-- That a requirement's valuation exists, asked once for each statement: a tick writes thousands of rows of one valuation.
-- A valuation cannot go: its marks hold it.
CREATE FUNCTION valuation_exists() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT valuation_id FROM changed) AS named
        WHERE NOT EXISTS (SELECT FROM intermediary_valuation WHERE id = named.valuation_id)
    ) THEN
        RAISE EXCEPTION 'no_such_valuation: a requirement is of a valuation that exists' USING ERRCODE = '23503';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER inserted_of_a_valuation AFTER INSERT ON intermediary_marginstate
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION valuation_exists();
CREATE TRIGGER updated_of_a_valuation AFTER UPDATE ON intermediary_marginstate
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION valuation_exists();
