DROP TRIGGER only_listed_changes ON intermediary_chaininstruction;
DROP FUNCTION only_listed_changes();
CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON intermediary_chaininstruction
    FOR EACH ROW EXECUTE FUNCTION only_listed_transitions('chaininstruction');
ALTER TABLE intermediary_chaininstruction RESET (fillfactor);
