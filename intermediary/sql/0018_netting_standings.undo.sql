DROP TRIGGER updated_names_standing ON intermediary_party;
CREATE TRIGGER updated_names_standing AFTER UPDATE ON intermediary_party FOR EACH ROW
    WHEN (OLD.recourse <> NEW.recourse) EXECUTE FUNCTION party_names_standing();
