-- A name for what a relationship holds, new with every change of its positions. It is written by the change itself and
-- random, so that no name ever comes back, not even after a rollback: a process that kept a book under its name knows
-- by one comparison whether the book is still the same. Nobody else writes here.
REVOKE INSERT, UPDATE ON intermediary_bookversion FROM bulkhead_worker;

-- Every change of a position: what was paid for it at least. Of what is held: when a position appears or goes.
CREATE FUNCTION positions_name_book() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO intermediary_bookversion (cell_id, held, settled)
    SELECT cell_id, gen_random_uuid(), gen_random_uuid()
    FROM (SELECT DISTINCT cell_id FROM changed ORDER BY cell_id) AS cells
    ON CONFLICT (cell_id) DO UPDATE SET
        settled = excluded.settled,
        held = CASE TG_OP WHEN 'UPDATE' THEN intermediary_bookversion.held ELSE excluded.held END;
    RETURN NULL;
END $$;
CREATE TRIGGER inserted_names_book AFTER INSERT ON intermediary_position
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION positions_name_book();
CREATE TRIGGER updated_names_book AFTER UPDATE ON intermediary_position
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION positions_name_book();
CREATE TRIGGER deleted_names_book AFTER DELETE ON intermediary_position
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION positions_name_book();

-- What is held, in place: a payment of variation margin rewrites every position without it.
CREATE FUNCTION quantity_names_book() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO intermediary_bookversion (cell_id, held, settled)
    SELECT cell_id, gen_random_uuid(), gen_random_uuid()
    FROM (SELECT OLD.cell_id UNION SELECT NEW.cell_id ORDER BY cell_id) AS cells (cell_id)
    ON CONFLICT (cell_id) DO UPDATE SET held = excluded.held, settled = excluded.settled;
    RETURN NULL;
END $$;
CREATE TRIGGER quantity_names_book AFTER UPDATE ON intermediary_position FOR EACH ROW
    WHEN (OLD.quantity <> NEW.quantity OR OLD.cell_id <> NEW.cell_id OR OLD.instrument_id <> NEW.instrument_id)
    EXECUTE FUNCTION quantity_names_book();

INSERT INTO intermediary_bookversion (cell_id, held, settled)
SELECT cell_id, gen_random_uuid(), gen_random_uuid() FROM intermediary_position GROUP BY cell_id;
